//! Every access to packet memory. The only module that does arithmetic on packet pointers.
//!
//! Aliasing: no reference to packet memory is ever made. A [`Span`] is a bounds-checked window through which values are
//! copied in and out; its offsets are checked at compile time. Whatever changes the packet's bounds
//! (`bpf_xdp_adjust_head`, `bpf_xdp_adjust_tail`) ends the life of every span made before; the verifier sees to that.
//!
//! Alignment: an Ethernet header has 14 bytes, so that an address behind it lies at no multiple of four. The kernel
//! permits such access where the machine does (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`: x86-64, arm64), but only to
//! packets, and the compiler knows no such difference: told that unaligned access is good it uses it on the stack too,
//! where the verifier refuses it. So the loads and stores are written here as instructions ([`Wire`]).

use aya_ebpf::{EbpfContext as _, helpers, programs::XdpContext};
use lb_common::abi::{AddressV4, AddressV6};

/// The farthest offset of a header that is looked at: an IPv6 header with three extension headers of 2,048 bytes. The
/// verifier keeps track of packet offsets below 0xffff only (`MAX_PACKET_OFF`, `kernel/bpf/verifier.c`).
const FARTHEST: usize = 0x1fff;

/// `N` bytes of the packet that were checked to be there.
#[derive(Clone, Copy)]
pub struct Span<const N: usize>(*mut u8);

/// The `N` bytes at `offset` from the start of the frame, or `None` where the frame is shorter.
#[inline(always)]
pub fn at<const N: usize>(ctx: &XdpContext, offset: usize) -> Option<Span<N>> {
    if offset > FARTHEST {
        return None;
    }
    let start = ctx.data() + offset;
    if start + N > ctx.data_end() {
        return None;
    }
    Some(Span(start as *mut u8))
}

/// An offset that lies in memory, where it was checked long ago: Linux 6.1 does not see by a comparison of a copy that it is
/// bounded, but it does by the bits that it can have.
#[inline(always)]
pub fn known(offset: u16) -> usize {
    const { assert!((FARTHEST + 1).is_power_of_two()) };
    opaque(offset.into()) & FARTHEST
}

/// Bytes of the frame, from its Ethernet header on.
///
/// The number is hidden from the compiler, which would else derive from a comparison with it that a later check against
/// the end of the packet cannot fail, and leave out the check that the verifier wants to see.
#[inline(always)]
pub fn length(ctx: &XdpContext) -> usize {
    opaque(ctx.data_end() - ctx.data())
}

/// Makes the frame so short that it ends at `end`, unless it ends before. `None` where the kernel refuses, which it never
/// does.
#[inline(always)]
pub fn shorten(ctx: &XdpContext, end: usize) -> Option<()> {
    let surplus = length(ctx) as i32 - end as i32;
    if surplus <= 0 {
        return Some(());
    }
    // SAFETY: the context is valid; a frame is only made shorter.
    let shortened = unsafe { helpers::bpf_xdp_adjust_tail(ctx.as_ptr().cast(), -surplus) };
    (shortened == 0).then_some(())
}

/// The same number, of which the compiler knows nothing.
#[inline(always)]
pub fn opaque(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut number = number;
        // SAFETY: a register is copied to itself.
        unsafe { core::arch::asm!("{0} = {0}", inlateout(reg) number, options(pure, nomem, nostack)) };
        number
    }
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(number)
}

/// The same length, of 1 to `MOST` bytes, in such a way that the verifier sees both bounds on the very register that a helper
/// gets; `None` where it is none of these. A comparison with zero tells that of Linux 6.1 nothing; a mask does.
#[inline(always)]
pub fn bounded<const MOST: usize>(length: usize) -> Option<u32> {
    if length == 0 || length > MOST {
        return None;
    }
    let length = opaque((opaque(length - 1) & (MOST.next_power_of_two() - 1)) + 1);
    if length > MOST { None } else { Some(length as u32) }
}

/// Makes the compiler believe that a context is used. Where a function does not use it, the compiler leaves its register
/// to chance in the callers, and the verifier wants a context there.
#[inline(always)]
pub fn used(ctx: &XdpContext) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: nothing is executed.
    unsafe {
        core::arch::asm!("/* {0} */", in(reg) ctx.ctx, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(ctx.ctx);
}

impl<const N: usize> Span<N> {
    /// A copy of the value at `OFFSET`, in the machine's byte order.
    #[inline(always)]
    pub fn get<T: Wire, const OFFSET: usize>(self) -> T {
        const { assert!(OFFSET + size_of::<T>() <= N) };
        // SAFETY: the span was checked against the end of the packet when it was made, the offset against the span.
        unsafe { T::load(self.0.add(OFFSET)) }
    }

    /// Overwrites the value at `OFFSET`.
    #[inline(always)]
    pub fn set<T: Wire, const OFFSET: usize>(self, value: T) {
        const { assert!(OFFSET + size_of::<T>() <= N) };
        // SAFETY: as in `get`; XDP may write to the whole frame.
        unsafe { value.store(self.0.add(OFFSET)) }
    }

    /// A 16-bit big-endian field.
    #[inline(always)]
    pub fn be16<const OFFSET: usize>(self) -> u16 {
        u16::from_be(self.get::<u16, OFFSET>())
    }

    /// A 32-bit big-endian field.
    #[inline(always)]
    pub fn be32<const OFFSET: usize>(self) -> u32 {
        u32::from_be(self.get::<u32, OFFSET>())
    }
}

/// What can be read from and written to a packet at any offset.
pub trait Wire: Copy {
    /// The value at `place`.
    ///
    /// # Safety
    ///
    /// `place` is that many bytes of the packet, checked against its end.
    unsafe fn load(place: *const u8) -> Self;

    /// Writes the value to `place`.
    ///
    /// # Safety
    ///
    /// As for [`Wire::load`].
    unsafe fn store(self, place: *mut u8);
}

macro_rules! integer {
    ($type:ty, $width:literal) => {
        impl Wire for $type {
            #[inline(always)]
            unsafe fn load(place: *const u8) -> Self {
                #[cfg(target_arch = "bpf")]
                // SAFETY: the caller has checked the place; the instruction reads it and writes its register.
                unsafe {
                    let value: u64;
                    core::arch::asm!(
                        concat!("{value} = *(", $width, " *)({place} + 0)"),
                        value = lateout(reg) value,
                        place = in(reg) place,
                        options(pure, readonly, nostack),
                    );
                    value as Self
                }
                #[cfg(not(target_arch = "bpf"))]
                // SAFETY: the caller has checked the place.
                unsafe {
                    place.cast::<Self>().read_unaligned()
                }
            }

            #[inline(always)]
            unsafe fn store(self, place: *mut u8) {
                #[cfg(target_arch = "bpf")]
                // SAFETY: the caller has checked the place; the instruction writes it and nothing else.
                unsafe {
                    core::arch::asm!(
                        concat!("*(", $width, " *)({place} + 0) = {value}"),
                        value = in(reg) u64::from(self),
                        place = in(reg) place,
                        options(nostack),
                    );
                }
                #[cfg(not(target_arch = "bpf"))]
                // SAFETY: the caller has checked the place.
                unsafe {
                    place.cast::<Self>().write_unaligned(self)
                }
            }
        }
    };
}

integer!(u8, "u8");
integer!(u16, "u16");
integer!(u32, "u32");

/// A byte array as the words that it is read and written by.
macro_rules! bytes {
    ($length:literal: $($word:ty, $offset:literal, [$($byte:literal),+];)+) => {
        impl Wire for [u8; $length] {
            #[inline(always)]
            unsafe fn load(place: *const u8) -> Self {
                let mut value = [0; $length];
                $(
                    // SAFETY: the word is part of the bytes that the caller has checked.
                    let word = unsafe { <$word>::load(place.add($offset)) }.to_ne_bytes();
                    $(value[$offset + $byte] = word[$byte];)+
                )+
                value
            }

            #[inline(always)]
            unsafe fn store(self, place: *mut u8) {
                $(
                    let word = <$word>::from_ne_bytes([$(self[$offset + $byte]),+]);
                    // SAFETY: the word is part of the bytes that the caller has checked.
                    unsafe { word.store(place.add($offset)) };
                )+
            }
        }
    };
}

bytes!(2: u16, 0, [0, 1];);
bytes!(6: u32, 0, [0, 1, 2, 3]; u16, 4, [0, 1];);

impl Wire for AddressV4 {
    #[inline(always)]
    unsafe fn load(place: *const u8) -> Self {
        // SAFETY: the caller has checked the place.
        Self::from_words([unsafe { u32::load(place) }])
    }

    #[inline(always)]
    unsafe fn store(self, place: *mut u8) {
        // SAFETY: the caller has checked the place.
        unsafe { self.words()[0].store(place) }
    }
}

impl Wire for AddressV6 {
    #[inline(always)]
    unsafe fn load(place: *const u8) -> Self {
        // SAFETY: the caller has checked the place, which is four words long.
        unsafe {
            Self::from_words([
                u32::load(place),
                u32::load(place.add(4)),
                u32::load(place.add(8)),
                u32::load(place.add(12)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, place: *mut u8) {
        let [a, b, c, d] = self.words();
        // SAFETY: the caller has checked the place, which is four words long.
        unsafe {
            a.store(place);
            b.store(place.add(4));
            c.store(place.add(8));
            d.store(place.add(12));
        }
    }
}
