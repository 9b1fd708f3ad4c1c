//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3).
//!
//! Words are loaded in the machine's own byte order: the sum does not depend on it (RFC 1071, section 2 B), as long as
//! every word of one sum is loaded the same way.

/// What a rewrite changes in a checksum: the sum of `!old + new` over all 16-bit words that were replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delta(u64);

impl Delta {
    /// Nothing replaced yet.
    pub const ZERO: Self = Self(0);

    /// One aligned 16-bit word was replaced.
    #[inline(always)]
    #[must_use]
    pub const fn replace_u16(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// One aligned 32-bit word was replaced. The halves need not be told apart: 2^16 is 1 in this arithmetic.
    #[inline(always)]
    #[must_use]
    pub const fn replace_u32(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Two rewrites in one.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// A checksum field after the rewrite: `HC' = ~(~HC + ~m + m')`. A field that was wrong stays wrong by as much.
    #[inline(always)]
    pub const fn apply(self, field: u16) -> u16 {
        !fold(self.0 + (!field) as u64)
    }

    /// A field that holds the *uncomplemented* sum of the pseudo-header (what a sender leaves for its device to
    /// finish; `CHECKSUM_PARTIAL` in `include/linux/skbuff.h`) after the rewrite.
    #[inline(always)]
    pub const fn apply_to_partial(self, field: u16) -> u16 {
        fold(self.0 + field as u64)
    }
}

/// Folds a sum of words to 16 bits with end-around carry.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The sum of the pseudo-header words that stand beside the addresses: protocol and TCP length (RFC 9293, section 3.1;
/// RFC 8200, section 8.1), in the machine's byte order.
#[inline(always)]
pub const fn pseudo_header_tail(protocol: u8, length: u16) -> u64 {
    (protocol as u16).to_be() as u64 + length.to_be() as u64
}

/// The sum of `bytes` from scratch, as words in the machine's byte order, an odd last byte padded with zero.
pub fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| u64::from(u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)])))
        .sum()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn from_scratch(bytes: &[u8]) -> u16 {
        !fold(sum(bytes))
    }

    #[test]
    fn the_example_of_rfc_1624_section_4() {
        // Header checksum 0xDD2F, the word 0x5555 becomes 0x3285: equation 3 gives 0x0000, equation 2 would give 0xFFFF.
        assert_eq!(Delta::ZERO.replace_u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    proptest! {
        #[test]
        fn an_update_equals_the_sum_from_scratch(
            mut bytes in prop::collection::vec(any::<u8>(), 8..200),
            at in 0usize..50,
            new in any::<u32>(),
            odd in any::<bool>(),
        ) {
            let at = (at * 4) % (bytes.len() / 4 * 4);
            if odd { bytes.push(7); }
            bytes[..2].copy_from_slice(&[1, 1]); // The sum of nothing but zeros is the one ambiguous case.
            let at = if at == 0 { 4 } else { at };
            let before = from_scratch(&bytes);
            let old = u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&new.to_ne_bytes());
            prop_assert_eq!(Delta::ZERO.replace_u32(old, new).apply(before), from_scratch(&bytes));
        }

        #[test]
        fn a_wrong_checksum_stays_wrong(old in any::<u32>(), new in any::<u32>(), field in any::<u16>(), error in 1u16..0xffff) {
            let delta = Delta::ZERO.replace_u32(old, new);
            let wrong = fold(u64::from(field) + u64::from(error));
            prop_assume!(wrong != field && !(field == 0 && wrong == 0xffff) && !(field == 0xffff && wrong == 0));
            prop_assert_ne!(delta.apply(field), delta.apply(wrong));
        }

        #[test]
        fn a_partial_sum_is_updated_as_if_it_had_been_made_for_the_new_addresses(old in any::<[u32; 4]>(), new in any::<[u32; 4]>(), length in any::<u16>()) {
            let pseudo = |words: &[u32]| fold(words.iter().map(|w| u64::from(*w)).sum::<u64>() + pseudo_header_tail(6, length));
            let delta = old.iter().zip(&new).fold(Delta::ZERO, |d, (o, n)| d.replace_u32(*o, *n));
            let updated = delta.apply_to_partial(pseudo(&old));
            let wanted = pseudo(&new);
            // Both zeros are the same number in ones' complement.
            prop_assert!(updated == wanted || (updated, wanted) == (0xffff, 0) || (updated, wanted) == (0, 0xffff));
        }

        #[test]
        fn folding_keeps_the_sum(words in prop::collection::vec(any::<u16>(), 0..100)) {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
            let expected = words.iter().fold(0u16, |a, w| { let (s, c) = a.overflowing_add(*w); s + u16::from(c) });
            prop_assert_eq!(fold(sum(&bytes)), expected);
        }
    }
}
