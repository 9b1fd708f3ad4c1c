//! The bound of every table, with its reason and its cost in kernel memory.
//!
//! A hash table costs, for each entry, the kernel's element header of 48 bytes, the key and the value rounded up to
//! 8, and 16 bytes of bucket for each power of two of entries (`kernel/bpf/hashtab.c`, `struct htab_elem`,
//! `struct bucket`).

/// Connections that the flow table holds unless the configuration says otherwise.
///
/// A control plane of a thousand nodes holds some 10,000 connections; this leaves room for a storm of reconnects.
pub const FLOW_TABLE_CONNECTIONS: u32 = 262_144;

/// Connections that the half-open tier holds unless the configuration says otherwise. Its entries overwrite each
/// other when it is full, so it bounds the memory of a SYN flood, not the service.
pub const HALF_OPEN_CONNECTIONS: u32 = 32_768;

/// Both directions of a connection have an entry of their own.
pub const ENTRIES_PER_CONNECTION: u32 = 2;

/// Backend ids, 0 excluded: [`crate::abi::BackendId`] indexes an array of this size. 24 B (IPv4) and 48 B (IPv6)
/// each, 288 KiB together.
pub const MAX_BACKENDS: u32 = 4096;

/// Services (a VIP and a port each). The id is one byte of a flow entry.
pub const MAX_SERVICES: u32 = 256;

/// Service and backend endpoints (address and port): `MAX_SERVICES` VIP ports, and a backend port for each service
/// of each backend.
pub const MAX_BACKEND_ENDPOINTS: u32 = 16_384;

/// Interfaces that packets leave by. The id is one byte of a flow entry.
pub const MAX_LINKS: u32 = 64;

/// VIPs: one bit each in a word of the backend entry.
pub const MAX_VIPS: u32 = 32;

/// VIPs for which a controller takes packets out of their tunnels, of both families: what two balancers of different
/// VIPs have. 96 B each, 6 KiB.
pub const MAX_DECAP_VIPS: u32 = 2 * MAX_VIPS;

/// VIPs and SNAT addresses of one family: a SNAT address for each backend's way out at the most.
pub const MAX_OUR_ADDRESSES: u32 = 128;

/// Slots of a Maglev table: a prime, at least 100 times the backends for an evenness of 1 % (Eisenbud et al., NSDI
/// 2016, section 3.4). 128 KiB a service.
pub const MAGLEV_SLOTS: usize = 65_537;

/// Distinct backends in the list of alternatives of a service: what adoption and a refused SYN go through.
pub const ROTATION_SLOTS: usize = 256;

/// Sources whose turn is remembered by the policy `spread`. An evicted source starts at a place of its own again.
pub const SPREAD_SOURCES: u32 = 16_384;

/// SNAT ports tried for a new connection before it is refused. With 80 % of the ports of one backend in use, a
/// connection finds none with a chance of 0.8^24 = 0.5 %; with half of them, one in 16 million.
pub const PORT_CANDIDATES: u32 = 24;

/// Guesses for a connection that is adopted in the middle: backends times first ports.
pub const ADOPTION_CANDIDATES: u32 = 8;

/// Backends that a connection is offered to before its refusal reaches the client. More than a control plane has; with
/// more backends than this, eight that refuse in a row say enough.
pub const REDISPATCH_BACKENDS: u32 = 8;

/// Backends at which a connection that is sent on looks for a port, where one after the other has none for it: all others of
/// a control plane of five. [`PORT_CANDIDATES`] at each are what one packet may cost.
pub const REDISPATCH_CROWDED: u32 = 4;

/// Ports tried at one backend for a connection whose first ones it held for others.
pub const REDISPATCH_PORTS: u8 = 4;

/// The least number of SNAT ports: room for [`PORT_CANDIDATES`] distinct ones, and for the connections of a small
/// cluster to one controller. What a storm of reconnects wants is [`ENOUGH_SNAT_PORTS`].
pub const MIN_SNAT_PORTS: u32 = 4096;

/// With fewer SNAT ports than this the operator is warned: two thirds of the kernel's own ephemeral range, what a
/// proxy in this place would have.
pub const ENOUGH_SNAT_PORTS: u32 = 20_000;

/// Bytes of the ring that tells the agent of closed flows: a power of two and of pages. 256 KiB hold 4,681 closes of
/// IPv6 (a key of 40 bytes with the ring's header of 8, rounded up to 8) between two looks of the agent; what does not
/// fit is found by the next walk.
pub const CLOSED_RING_BYTES: usize = 1 << 18;

/// Services on backends of which evidence is remembered: four services of a hundred backends in both families, and on a
/// machine of many CPUs some in the free list of each. An evicted one may be told again at once. 128 KiB.
pub const EVIDENCE_CELLS: u32 = 1024;

/// Bytes of the ring that wakes the agent when a backend does not behave: a page. Told at most four times a second for each
/// service on a backend and kind, of 16 bytes each; what does not fit is told again.
pub const EVIDENCE_RING_BYTES: usize = 1 << 12;

/// Lines about dropped packets that each CPU may write in a second, where somebody asked for them: a flood of such packets
/// shall not become a flood of lines. The ring that they go through is aya-log's, of 128 KiB; where nobody asked, the agent
/// makes it a page.
pub const DROP_LINES_PER_SECOND: u32 = 32;

/// The kernel's element header of a hash table entry, in bytes.
const HASH_ELEMENT_HEADER: u64 = 48;

/// Kernel memory of a preallocated hash table, in bytes.
pub const fn hash_table_bytes(entries: u32, key_size: usize, value_size: usize) -> u64 {
    let element =
        HASH_ELEMENT_HEADER + (key_size as u64).next_multiple_of(8) + (value_size as u64).next_multiple_of(8);
    entries as u64 * element + entries.next_power_of_two() as u64 * 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{
        EvidenceCell, EvidenceKey, FlowKeyV4, FlowKeyV6, FlowV4, FlowV6, HalfOpenV4, HalfOpenV6,
    };

    #[test]
    fn the_tables_of_a_default_installation_fit_in_the_documented_memory() {
        let tables = |connections: u32, value_v4, value_v6| {
            let entries = connections * ENTRIES_PER_CONNECTION;
            (
                hash_table_bytes(entries, size_of::<FlowKeyV4>(), value_v4),
                hash_table_bytes(entries, size_of::<FlowKeyV6>(), value_v6),
            )
        };
        let mib = |bytes: u64| bytes >> 20;
        let (flows_v4, flows_v6) = tables(FLOW_TABLE_CONNECTIONS, size_of::<FlowV4>(), size_of::<FlowV6>());
        let (half_open_v4, half_open_v6) =
            tables(HALF_OPEN_CONNECTIONS, size_of::<HalfOpenV4>(), size_of::<HalfOpenV6>());
        assert_eq!((mib(flows_v4), mib(flows_v6)), (72, 96), "README and docs name these figures");
        assert_eq!((mib(half_open_v4), mib(half_open_v6)), (13, 16), "README and docs name these figures");
    }

    #[test]
    fn what_is_remembered_of_backends_is_as_small_as_said() {
        let bytes = hash_table_bytes(EVIDENCE_CELLS, size_of::<EvidenceKey>(), size_of::<EvidenceCell>());
        assert_eq!(bytes, 128 << 10, "the document of EVIDENCE_CELLS");
    }
}
