//! Steps that the verifier goes through once, on their own, whoever calls them and whatever is known there.
//!
//! They are *global functions* (`Documentation/bpf/verifier.rst`; BTF says so of what is exported): the verifier goes
//! through one with any arguments that fit its prototype, and through its caller as if the call were one instruction that
//! returns any number. So a step costs itself, and not itself once for every way that leads to it.
//!
//! What such a function takes is a context, numbers, and pointers to values of known size, which it checks for null; what it
//! returns is a number. The packet is kept in this CPU's memory for it ([`Packet::keep`]), and found there.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{abi::Address, tick::Tick};

use crate::{family::Family, forward::Packet, maps, packet, parse::Segment};

/// What is kept of a packet between the functions that judge it.
#[repr(C)]
pub struct Kept<A: Address> {
    segment: Segment<A>,
    now: Tick,
}

impl<F: Family> Packet<'_, F> {
    /// Keeps what the packet says for the global functions. Every way to one leads through here.
    #[inline(always)]
    pub fn keep(&self) {
        if let Some(place) = F::kept().get_ptr_mut(0) {
            // SAFETY: the place is this CPU's own, a run of the program is not interrupted by another on the same CPU, and
            // nobody holds a reference to it yet.
            unsafe { *place = Kept { segment: *self.segment, now: self.now } };
        }
    }
}

/// What a global function may return: a number to the verifier.
pub trait Word {
    /// Returned where a map is not there, which is a defect of ours.
    const DEFECT: Self;
    /// As a number.
    fn word(self) -> u32;
    /// What the number means.
    fn from_word(word: u32) -> Self;
}

impl Word for () {
    const DEFECT: Self = ();

    #[inline(always)]
    fn word(self) -> u32 {
        0
    }

    #[inline(always)]
    fn from_word(_word: u32) -> Self {}
}

impl Word for bool {
    const DEFECT: Self = false;

    #[inline(always)]
    fn word(self) -> u32 {
        self.into()
    }

    #[inline(always)]
    fn from_word(word: u32) -> Self {
        word != 0
    }
}

/// Runs a step on the packet that has been kept; what a global function does.
#[inline(always)]
pub fn run<F: Family, R: Word>(ctx: *mut xdp_md, step: impl FnOnce(&Packet<'_, F>) -> R) -> u32 {
    let ctx = XdpContext::new(ctx);
    packet::used(&ctx);
    let (Some(kept), Some(settings)) = (F::kept().get_ptr_mut(0), maps::settings()) else {
        return R::DEFECT.word();
    };
    // SAFETY: the place is this CPU's own, and written to only before the first global function is called.
    let kept = unsafe { &*kept };
    let packet = Packet::<F> { ctx, segment: &kept.segment, settings, now: kept.now };
    step(&packet).word()
}

/// Makes of a step that is generic over the family two global functions, and one word to call them by. The step takes the
/// packet, then numbers, then pointers that may be null.
macro_rules! global {
    ($(
        $(#[$documentation:meta])*
        $visibility:vis fn $name:ident($($number:ident: $type:ty),*) [$($pointer:ident: $pointee:ident),*]
            -> $result:ty = $step:ident as $v4:ident, $v6:ident;
    )+) => { $(
        $(#[$documentation])*
        #[inline(always)]
        $visibility fn $name<F: $crate::family::Family>(
            ctx: &aya_ebpf::programs::XdpContext
            $(, $number: $type)*
            $(, $pointer: *mut lb_common::abi::$pointee<F::Address>)*
        ) -> $result {
            let word = if F::NUMBER == <$crate::family::V4 as $crate::family::Family>::NUMBER {
                $v4(ctx.ctx $(, $number)* $(, $pointer.cast())*)
            } else {
                $v6(ctx.ctx $(, $number)* $(, $pointer.cast())*)
            };
            <$result as $crate::global::Word>::from_word(word)
        }

        $crate::global::global!(@one $v4, V4, AddressV4, $step ($($number: $type),*) [$($pointer: $pointee),*]);
        $crate::global::global!(@one $v6, V6, AddressV6, $step ($($number: $type),*) [$($pointer: $pointee),*]);
    )+ };
    (@one $symbol:ident, $family:ident, $address:ident, $step:ident
        ($($number:ident: $type:ty),*) [$($pointer:ident: $pointee:ident),*]) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $symbol(
            ctx: *mut aya_ebpf::bindings::xdp_md
            $(, $number: $type)*
            $(, $pointer: *mut lb_common::abi::$pointee<lb_common::abi::$address>)*
        ) -> u32 {
            $crate::global::run::<$crate::family::$family, _>(ctx, |packet| {
                $step(packet $(, $number)* $(, $pointer)*)
            })
        }
    };
}

pub(crate) use global;
