//! The maps, and the few words with which the steps speak to those that both families share.
//!
//! Sizes are those of `lb_common::limits`; the agent overrides those that the configuration sets.

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_action,
    btf_maps::{Array, ArrayOfMaps, DevMap, HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
    programs::XdpContext,
};
use lb_common::{
    abi::{
        Address, AddressV4, AddressV6, Backend, BackendId, Choice, Endpoint, EvidenceCell, EvidenceEvent,
        EvidenceKey, Flow, FlowKey, FlowKeyV6, HalfOpen, Heartbeat, Link, LinkId, Service, ServiceId,
        Settings, SpreadKey,
    },
    counters::{COUNTER_CELLS, Counter},
    limits,
    tick::Tick,
};

use crate::{enter::Draft, global::Kept, packet::opaque};

const FLOWS: usize = (limits::FLOW_TABLE_CONNECTIONS * limits::ENTRIES_PER_CONNECTION) as usize;
const HALF_OPEN: usize = (limits::HALF_OPEN_CONNECTIONS * limits::ENTRIES_PER_CONNECTION) as usize;

/// The flow table of one family: never evicts.
pub type FlowTable<A> = HashMap<FlowKey<A>, Flow<A>, FLOWS>;
/// The lower tier of one family: its entries overwrite each other.
pub type HalfOpenTable<A> = LruHashMap<FlowKey<A>, HalfOpen<A>, HALF_OPEN>;
/// The services of one family, by VIP and port.
pub type ServiceTable<A> = HashMap<Endpoint<A>, Service, { limits::MAX_SERVICES as usize }>;
/// The backends' service ports of one family.
pub type BackendEndpoints<A> = HashMap<Endpoint<A>, u32, { limits::MAX_BACKEND_ENDPOINTS as usize }>;
/// The backends of one family, by id.
pub type Backends<A> = Array<Backend<A>, { limits::MAX_BACKENDS as usize }>;
/// Whose turn it is, of one family.
pub type SpreadTable<A> = LruHashMap<SpreadKey<A>, u64, { limits::SPREAD_SOURCES as usize }>;

/// One draft for each CPU.
pub type Drafts<A> = PerCpuArray<Draft<A>, 1>;
/// One packet for each CPU.
pub type KeptPackets<A> = PerCpuArray<Kept<A>, 1>;
/// Our own addresses of one family: VIPs and SNAT addresses.
pub type OurAddresses<A> = HashMap<A, u32, { limits::MAX_OUR_ADDRESSES as usize }>;

#[btf_map]
pub static FLOWS_V4: FlowTable<AddressV4> = FlowTable::new();
#[btf_map]
pub static FLOWS_V6: FlowTable<AddressV6> = FlowTable::new();
#[btf_map]
pub static HALF_OPEN_V4: HalfOpenTable<AddressV4> = HalfOpenTable::new();
#[btf_map]
pub static HALF_OPEN_V6: HalfOpenTable<AddressV6> = HalfOpenTable::new();
#[btf_map]
pub static SERVICES_V4: ServiceTable<AddressV4> = ServiceTable::new();
#[btf_map]
pub static SERVICES_V6: ServiceTable<AddressV6> = ServiceTable::new();
#[btf_map]
pub static ENDPOINTS_V4: BackendEndpoints<AddressV4> = BackendEndpoints::new();
#[btf_map]
pub static ENDPOINTS_V6: BackendEndpoints<AddressV6> = BackendEndpoints::new();
#[btf_map]
pub static BACKENDS_V4: Backends<AddressV4> = Backends::new();
#[btf_map]
pub static BACKENDS_V6: Backends<AddressV6> = Backends::new();
#[btf_map]
pub static SPREAD_V4: SpreadTable<AddressV4> = SpreadTable::new();
#[btf_map]
pub static SPREAD_V6: SpreadTable<AddressV6> = SpreadTable::new();

#[btf_map]
pub static OUR_ADDRESSES_V4: OurAddresses<AddressV4> = OurAddresses::new();
#[btf_map]
pub static OUR_ADDRESSES_V6: OurAddresses<AddressV6> = OurAddresses::new();

#[btf_map]
pub static DRAFT_V4: Drafts<AddressV4> = Drafts::new();
#[btf_map]
pub static DRAFT_V6: Drafts<AddressV6> = Drafts::new();

#[btf_map]
pub static KEPT_V4: KeptPackets<AddressV4> = KeptPackets::new();
#[btf_map]
pub static KEPT_V6: KeptPackets<AddressV6> = KeptPackets::new();

#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static HEARTBEAT: Array<Heartbeat, 1> = Array::new();
#[btf_map]
static LINKS: Array<Link, { limits::MAX_LINKS as usize }> = Array::new();
#[btf_map]
static LINK_OF_INTERFACE: HashMap<u32, u32, { limits::MAX_LINKS as usize }> = HashMap::new();
#[btf_map]
static DEVICES: DevMap<{ limits::MAX_LINKS as usize }> = DevMap::new();
/// The agent makes the inner maps without a description of their type. Linux before 6.2 takes such a map for one of another
/// kind (`bpf_map_meta_equal`, `kernel/bpf/map_in_map.c`: `timer_off`) where a structure is described here; not where an
/// array is.
#[btf_map]
static CHOICES: ArrayOfMaps<Array<[Choice; 1], 1>, { limits::MAX_SERVICES as usize }> = ArrayOfMaps::new();
#[btf_map]
static COUNTERS: PerCpuArray<[u64; COUNTER_CELLS], 1> = PerCpuArray::new();
#[btf_map]
static CLOSED: RingBuf<FlowKeyV6, { limits::CLOSED_RING_BYTES }> = RingBuf::new();

#[btf_map]
static EVIDENCE: LruHashMap<EvidenceKey, EvidenceCell, { limits::EVIDENCE_CELLS as usize }> =
    LruHashMap::new();
#[btf_map]
static EVIDENCE_EVENTS: RingBuf<EvidenceEvent, { limits::EVIDENCE_RING_BYTES }> = RingBuf::new();

/// What is remembered of a service on a backend.
#[inline(always)]
pub fn evidence(key: &EvidenceKey) -> Option<*mut EvidenceCell> {
    const NOEXIST: u64 = aya_ebpf::bindings::BPF_NOEXIST as u64;
    let known = EVIDENCE.get_ptr_mut(key);
    if known.is_some() {
        return known;
    }
    let _another_cpu_was_first = EVIDENCE.insert(key, &EvidenceCell::EMPTY, NOEXIST);
    EVIDENCE.get_ptr_mut(key)
}

/// Tells the agent, and wakes it.
#[inline(always)]
pub fn tell_evidence(event: &EvidenceEvent) {
    let _told_again = EVIDENCE_EVENTS.output_untyped::<EvidenceEvent>(event, 0);
}

/// A span of about a second, in ticks, as a number of bits.
const SECOND_SHIFT: u32 = 6;

#[btf_map]
static DROP_LINES: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Takes one of the lines that this CPU may write in the present second; whether there is one left.
#[inline(always)]
pub fn take_line(now: Tick) -> bool {
    let Some(place) = DROP_LINES.get_ptr_mut(0) else {
        return false;
    };
    let second = u64::from(now.0 >> SECOND_SHIFT);
    // SAFETY: the cell is this CPU's own: the second in the upper half, the lines written in it in the lower.
    unsafe {
        let lines = if *place >> 32 == second { *place & 0xffff_ffff } else { 0 };
        if lines >= u64::from(limits::DROP_LINES_PER_SECOND) {
            return false;
        }
        *place = second << 32 | (lines + 1);
    }
    true
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

/// The settings, of which the agent changes one field at a time.
#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// When the agent last collected the flow table, nanoseconds since boot.
#[inline(always)]
pub fn collected_ns() -> u64 {
    HEARTBEAT.get(0).map_or(0, |heartbeat| heartbeat.collected_ns)
}

/// A link, by its id.
#[inline(always)]
pub fn link(id: LinkId) -> Option<&'static Link> {
    LINKS.get(u32::from(id))
}

/// The link of an interface, by the kernel's number.
#[inline(always)]
pub fn link_of_interface(interface: u32) -> Option<LinkId> {
    // SAFETY: the number is copied out at once; the agent only ever replaces whole values.
    unsafe { LINK_OF_INTERFACE.get(&interface) }.map(|id| *id as LinkId)
}

/// Whom a service's new connections go to.
#[inline(always)]
pub fn choice(service: ServiceId) -> Option<&'static Choice> {
    CHOICES.get_value(u32::from(service), &0).map(|[choice]| choice)
}

/// A backend of a list, or 0.
#[inline(always)]
pub fn backend_in(list: &[BackendId], index: usize) -> BackendId {
    list.get(index).copied().unwrap_or(0)
}

/// Tells the agent that the flow with this key has been closed. What does not fit into the ring is found by the next
/// walk over the table.
#[inline(always)]
pub fn tell_closed<A: Address>(key: &FlowKey<A>) {
    const NO_WAKEUP: u64 = aya_ebpf::bindings::BPF_RB_NO_WAKEUP as u64;
    let _lost = CLOSED.output_untyped::<FlowKey<A>>(key, NO_WAKEUP);
}

/// Sends a packet out by a link, whose interface may be the one it came by.
#[inline(always)]
pub fn transmit(ctx: &XdpContext, id: LinkId) -> Option<u32> {
    let link = link(id)?;
    // SAFETY: the context is valid for the whole run of the program.
    let ingress = unsafe { (*ctx.as_ptr().cast::<aya_ebpf::bindings::xdp_md>()).ingress_ifindex };
    if link.interface == ingress {
        return Some(xdp_action::XDP_TX);
    }
    DEVICES.redirect(u32::from(id), 0).ok()
}
