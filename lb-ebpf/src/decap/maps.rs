//! The two maps, the one constant, and the few words to use them.

use aya_ebpf::{
    Global,
    btf_maps::{HashMap, PerCpuArray},
    macros::btf_map,
};
use lb_common::{
    abi::decap::{COUNTER_CELLS, Counter, Vip},
    limits::MAX_DECAP_VIPS,
    wire,
};

use crate::packet::opaque;

#[btf_map]
static VIPS: HashMap<Vip, u32, { MAX_DECAP_VIPS as usize }> = HashMap::new();
#[btf_map]
static COUNTERS: PerCpuArray<[u64; COUNTER_CELLS], 1> = PerCpuArray::new();

/// The UDP port of GUE, host byte order. A constant of the loaded program: every UDP packet is compared with it.
#[unsafe(no_mangle)]
static GUE_PORT: Global<u16> = Global::new(wire::GUE_PORT);

/// The UDP port of GUE, host byte order.
#[inline(always)]
pub fn gue_port() -> u16 {
    GUE_PORT.load()
}

/// Whether packets to this address are to be taken out of their tunnels.
#[inline(always)]
pub fn is_vip(vip: &Vip) -> bool {
    // SAFETY: nothing of the value is read.
    unsafe { VIPS.get(vip) }.is_some()
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(cells) = COUNTERS.get_ptr_mut(0) {
        // Opaque, or the compiler would know that it fits and leave the verifier without the check.
        let index = opaque(counter as usize);
        if index < COUNTER_CELLS {
            // SAFETY: the cell is this CPU's own, and the index is in bounds.
            unsafe { *cells.cast::<u64>().add(index) += 1 };
        }
    }
}
