//! The way back to a client: the kernel's own routes and neighbours, asked when a flow is entered and about once a
//! second after.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        BPF_FIB_LKUP_RET_BLACKHOLE, BPF_FIB_LKUP_RET_PROHIBIT, BPF_FIB_LKUP_RET_SUCCESS,
        BPF_FIB_LKUP_RET_UNREACHABLE, bpf_fib_lookup,
    },
    helpers,
};
use lb_common::{
    abi::{Flow, NextHop},
    counters::Counter,
    wire::{ETHERNET_HEADER, Mac, PROTOCOL_TCP},
};

use crate::{entry::Entry, family::Family, forward::Packet, global::global, maps, packet, verdict::Verdict};

/// A reverse entry's next hop is asked for again when its last packet was in another span of 2^6 ticks (1.07 s).
pub const REFRESH_SHIFT: u32 = 6;

/// The loopback interface, which always has this number. The look-up is made as if the packet came from it, so that
/// only its `forwarding` must be on, and the host need not be a router.
const LOOPBACK: u32 = 1;

/// Finds the next hop towards a new client. Where the host has a route but not the neighbour's link-layer address, the frame's
/// own sender is the next hop: it is on this link and has just spoken for this client.
#[inline(never)]
pub fn of_client<F: Family>(packet: &Packet<'_, F>, hop: &mut NextHop) -> Verdict {
    match find(packet) {
        Ok(found) => {
            *hop = found;
            Verdict::GO_ON
        }
        Err(reason) => Verdict::dropped(reason),
    }
}

#[inline(always)]
fn find<F: Family>(packet: &Packet<'_, F>) -> Result<NextHop, Counter> {
    let key = &packet.segment.key;
    match look_up::<F>(packet, &key.destination, &key.source) {
        Looked::Found(hop) => Ok(hop),
        Looked::NoRoute => Err(Counter::DropNoRoute),
        Looked::Unknown => {
            let ingress = packet.ctx.ingress_ifindex() as u32;
            let link = maps::link_of_interface(ingress).ok_or(Counter::DropNoRoute)?;
            let ethernet = packet::at::<ETHERNET_HEADER>(&packet.ctx, 0).ok_or(Counter::DropInternal)?;
            maps::count(Counter::NextHopFromFrame);
            Ok(NextHop { mac: ethernet.get::<Mac, 6>(), link })
        }
    }
}

global! {
    /// Asks again for the next hop of a reverse entry, and keeps the old one where there is no answer.
    pub fn refresh() [entry: Flow] -> () = ask_again as refresh_v4, refresh_v6;
}

#[inline(always)]
fn ask_again<F: Family>(packet: &Packet<'_, F>, entry: *mut Flow<F::Address>) {
    if let Ok(entry) = Entry::named(entry)
        && let twin = entry.twin_in_place()
        && let Looked::Found(hop) = look_up::<F>(packet, &twin.destination, &twin.source)
    {
        entry.set_hop(hop);
    }
}

enum Looked {
    Found(NextHop),
    NoRoute,
    Unknown,
}

#[inline(always)]
fn look_up<F: Family>(packet: &Packet<'_, F>, source: &F::Address, destination: &F::Address) -> Looked {
    // SAFETY: plain integers, for which zero is a value.
    let mut parameters: bpf_fib_lookup = unsafe { core::mem::zeroed() };
    parameters.family = F::NUMBER;
    parameters.l4_protocol = PROTOCOL_TCP;
    parameters.ifindex = LOOPBACK;
    F::set_route(&mut parameters, source, destination);
    // SAFETY: the context is valid, and the helper writes at most the size it is told.
    let result = unsafe {
        helpers::bpf_fib_lookup(
            packet.ctx.as_ptr(),
            &raw mut parameters,
            size_of::<bpf_fib_lookup>() as i32,
            0,
        )
    };
    match result as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => match maps::link_of_interface(parameters.ifindex) {
            Some(link) => Looked::Found(NextHop { mac: parameters.dmac, link }),
            None => Looked::Unknown,
        },
        BPF_FIB_LKUP_RET_BLACKHOLE | BPF_FIB_LKUP_RET_UNREACHABLE | BPF_FIB_LKUP_RET_PROHIBIT => {
            Looked::NoRoute
        }
        // No neighbour, or a state of the kernel's that only its own forwarding would resolve.
        _ => Looked::Unknown,
    }
}
