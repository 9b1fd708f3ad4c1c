//! How the types of the ABI are declared: without padding, which a key's look-up would depend on.

macro_rules! plain_data {
    ($($(#[$attribute:meta])* pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)+ })+) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type,)+ }

        #[cfg(feature = "user")]
        // SAFETY: repr(C), and zerocopy has checked that every byte is initialised and every bit pattern valid.
        unsafe impl aya::Pod for $name {}
    )+ };
}

/// Defines the types that are generic over the address, and asserts for both families that none has padding (zerocopy's
/// derive cannot know it of a generic type).
macro_rules! per_family {
    ($($(#[$attribute:meta])* pub struct $name:ident<A> ($v4:ident, $v6:ident) { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)+ })+) => { $(
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<A: Address> { $($(#[$field_attribute])* pub $field: $type,)+ }

        #[doc = concat!("[`", stringify!($name), "`] for IPv4.")]
        pub type $v4 = $name<AddressV4>;
        #[doc = concat!("[`", stringify!($name), "`] for IPv6.")]
        pub type $v6 = $name<AddressV6>;

        const _: () = {
            const fn sum<A: Address>() -> usize { 0 $(+ size_of::<$type>())+ }
            assert!(size_of::<$v4>() == sum::<AddressV4>(), concat!(stringify!($v4), " has padding"));
            assert!(size_of::<$v6>() == sum::<AddressV6>(), concat!(stringify!($v6), " has padding"));
        };

        #[cfg(feature = "user")]
        // SAFETY: repr(C), no padding (asserted above), and every field is valid for every bit pattern.
        unsafe impl<A: Address> aya::Pod for $name<A> {}
    )+ };
}

pub(super) use {per_family, plain_data};
