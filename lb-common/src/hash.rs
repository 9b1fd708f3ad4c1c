//! The keyed hash of a flow: SipHash-1-3 (Aumasson and Bernstein, 2012), so that nobody without the key can aim
//! connections at one backend or one port. Computed once a connection, never for an established packet.

/// SipHash-1-3 over 64-bit words.
#[derive(Clone, Copy, Debug)]
pub struct FlowHasher {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
    words: u64,
}

impl FlowHasher {
    /// A hasher with the 128-bit key that all balancers of one cluster share.
    #[inline(always)]
    pub const fn new(key: [u64; 2]) -> Self {
        Self {
            v0: key[0] ^ 0x736f_6d65_7073_6575,
            v1: key[1] ^ 0x646f_7261_6e64_6f6d,
            v2: key[0] ^ 0x6c79_6765_6e65_7261,
            v3: key[1] ^ 0x7465_6462_7974_6573,
            words: 0,
        }
    }

    /// Takes in one little-endian word of the message.
    #[inline(always)]
    #[must_use]
    pub const fn word(mut self, word: u64) -> Self {
        self.v3 ^= word;
        self = self.round();
        self.v0 ^= word;
        self.words += 1;
        self
    }

    /// The hash of the words taken in.
    #[inline(always)]
    pub const fn finish(self) -> u64 {
        let length_byte = (self.words * 8) << 56;
        let mut h = self.word(length_byte);
        h.v2 ^= 0xff;
        let h = h.round().round().round();
        h.v0 ^ h.v1 ^ h.v2 ^ h.v3
    }

    #[inline(always)]
    const fn round(mut self) -> Self {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_siphash_1_3(key in any::<[u64; 2]>(), words in prop::collection::vec(any::<u64>(), 0..8)) {
            let mut theirs = siphasher::sip::SipHasher13::new_with_keys(key[0], key[1]);
            let mut ours = FlowHasher::new(key);
            for word in words {
                theirs.write(&word.to_le_bytes());
                ours = ours.word(word);
            }
            prop_assert_eq!(ours.finish(), theirs.finish());
        }
    }
}
