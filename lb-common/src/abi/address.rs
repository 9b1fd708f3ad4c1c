//! Addresses as they are on the wire, and the filter of ours.

/// An address as it is on the wire: [`AddressV4`] or [`AddressV6`].
pub trait Address: Copy + Eq + 'static {}

macro_rules! address {
    ($name:ident, $length:literal, $words:literal, $standard:ty) => {
        /// An address as it is on the wire, aligned so that it is read by words.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(C, align(4))]
        pub struct $name(pub [u8; $length]);

        impl Address for $name {}

        impl $name {
            /// The address as 32-bit words in the machine's byte order, each as it lies on the wire.
            #[inline(always)]
            pub const fn words(&self) -> [u32; $words] {
                // SAFETY: the type is aligned to a word and as long as the array, for which every bit pattern is valid.
                unsafe { (&raw const *self).cast::<[u32; $words]>().read() }
            }

            /// The address with these words.
            #[inline(always)]
            pub const fn from_words(words: [u32; $words]) -> Self {
                // SAFETY: as in `words`.
                Self(unsafe { core::mem::transmute::<[u32; $words], [u8; $length]>(words) })
            }
        }

        impl From<$standard> for $name {
            fn from(address: $standard) -> Self {
                Self(address.octets())
            }
        }

        impl From<$name> for $standard {
            fn from(address: $name) -> Self {
                address.0.into()
            }
        }

        #[cfg(feature = "user")]
        // SAFETY: repr(C), an array of bytes without padding.
        unsafe impl aya::Pod for $name {}
    };
}

address!(AddressV4, 4, 1, core::net::Ipv4Addr);
address!(AddressV6, 16, 4, core::net::Ipv6Addr);

/// 64-bit words of the address filter.
pub const ADDRESS_FILTER_WORDS: usize = 16;

/// The bit of the address filter for an IPv4 address. One bit of 1,024: an address that is not ours shares it with one
/// of ours once in a thousand, and is then found out by the tables.
#[inline(always)]
pub const fn address_bit_v4(address: u32) -> u32 {
    address.wrapping_mul(0x9e37_79b1) >> 22
}

/// The bit of the address filter for an IPv6 address, as four words in the machine's byte order.
#[inline(always)]
pub const fn address_bit_v6(words: [u32; 4]) -> u32 {
    let mixed =
        words[0].wrapping_mul(0x85eb_ca6b) ^ words[1].wrapping_mul(0xc2b2_ae35) ^ words[2].rotate_left(13);
    address_bit_v4(mixed ^ words[3])
}
