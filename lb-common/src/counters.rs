//! The name of everything that can happen to a packet. The numbers index the counters map and are ABI.

/// Declares a `Counter` with its names and explanations, so that none can be without.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What happened to a packet, and how often: the index of a cell in the counters map.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        /// Every counter, in the order of its number.
        pub const ALL: &[Counter] = &[$(Counter::$variant,)+];

        impl Counter {
            /// The name in `xdplb counters`; never changes its meaning.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The counter with this number.
            #[inline(always)]
            pub const fn from_number(number: u32) -> Option<Self> {
                if (number as usize) < ALL.len() {
                    // SAFETY: the variants of the `repr(u32)` are numbered from 0 on, without a gap.
                    Some(unsafe { core::mem::transmute::<u32, Self>(number) })
                } else {
                    None
                }
            }

            /// What it counts, in a sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// Packets rewritten and sent on, in either direction.
    Forwarded = "forwarded",
    /// Packets that were not ours, passed to the host untouched.
    PassedNotOurs = "passed_not_ours",
    /// Packets to a service of which the host itself holds the connection (a proxy that is being replaced).
    PassedLocalSocket = "passed_local_socket",

    /// Packets to a service or of a flow whose headers contradict each other.
    DropMalformed = "drop_malformed",
    /// Fragments of TCP to a service: they carry no ports, and the host would answer with a RST.
    DropFragment = "drop_fragment",
    /// Packets from a backend to the SNAT ports that belong to no flow; the host would answer with a RST.
    DropOrphanReply = "drop_orphan_reply",
    /// RSTs to a service that belong to no flow.
    DropUnknownReset = "drop_unknown_reset",
    /// New connections whose source address cannot be anybody's.
    DropMartianSource = "drop_martian_source",
    /// Packets whose time to live ends here.
    DropTtlExpired = "drop_ttl_expired",
    /// Packets to a backend whose link-layer address is not known (yet).
    DropNoNextHop = "drop_no_next_hop",
    /// Packets to a client to whom the host has no route.
    DropNoRoute = "drop_no_route",
    /// Packets of a pair that the collector is deleting; the client's next try meets a clean table.
    DropBeingCollected = "drop_being_collected",
    /// Replies that showed that an adopted flow was not this backend's; the next candidate is tried.
    DropAdoptionRefused = "drop_adoption_refused",
    /// Refusals of a handshake for which no other place was found; the client's next SYN begins anew.
    DropRedispatchFailed = "drop_redispatch_failed",
    /// Packets for which a map was missing or an insertion failed: never seen, and a defect of ours.
    DropInternal = "drop_internal",

    /// SYNs answered with RST because no SNAT port was free among the candidates.
    ResetNoPort = "reset_no_port",
    /// SYNs answered with RST because the service has no backend.
    ResetNoBackend = "reset_no_backend",
    /// Packets answered with RST because their backend was disabled or removed at once.
    ResetBackendGone = "reset_backend_gone",
    /// Packets answered with RST because somebody reset their flow.
    ResetByOperator = "reset_by_operator",

    /// Late answers of backends whose connection had gone to another one; answered with RST.
    ResetUndone = "reset_undone",
    /// Packets of unknown connections answered with RST because no backend took them for its own.
    ResetNotAdopted = "reset_not_adopted",

    /// Connections begun.
    FlowOpened = "flow_opened",
    /// Connections whose handshake was completed.
    FlowEstablished = "flow_established",
    /// Connections closed or reset.
    FlowClosed = "flow_closed",
    /// Closed connections whose client came again from the same port.
    FlowReopened = "flow_reopened",
    /// Connections taken up in the middle.
    FlowAdopted = "flow_adopted",
    /// Adopted connections that the backend confirmed.
    FlowAdoptionConfirmed = "flow_adoption_confirmed",
    /// Connections that stay in the lower tier because the flow table is full.
    FlowTableFull = "flow_table_full",
    /// Connections that stay in the lower tier because no agent has collected the flow table for hours.
    FlowTableUncollected = "flow_table_uncollected",
    /// SYNs seen again.
    SynRetransmitted = "syn_retransmitted",
    /// SYNs sent on to another backend because the first refused them or did not answer.
    Redispatched = "redispatched",
    /// SYNs sent on from another port because the backend held another connection at the first.
    RedispatchedPort = "redispatched_port",
    /// Refusals passed on to the client, because every backend had refused.
    RefusalPassed = "refusal_passed",
    /// Half-open entries found without their twin, which the lower tier had overwritten.
    HalfOpenTorn = "half_open_torn",
    /// Half-open connections whose SNAT port was taken for a newer one.
    HalfOpenTakenOver = "half_open_taken_over",
    /// Candidate SNAT ports that were in use.
    PortCollision = "port_collision",
    /// Packets whose checksum the sender had left to its device, and which left so.
    ChecksumPartial = "checksum_partial",
    /// Packets whose checksum the sender had left to its device, and which we finished.
    ChecksumFinished = "checksum_finished",
    /// Clients whose next hop was taken from their own frame because the host did not know it.
    NextHopFromFrame = "next_hop_from_frame",
    /// RSTs that did not fit their connection and were passed on without closing the flow.
    ResetOutOfWindow = "reset_out_of_window",
}

/// Cells of the counters map: room for more names without another size, a multiple of a cache line.
pub const COUNTER_CELLS: usize = 64;

const _: () = assert!(ALL.len() <= COUNTER_CELLS, "COUNTER_CELLS must hold every counter");

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_indexes_and_names_are_unique() {
        for (index, counter) in ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index, "{}", counter.name());
            assert_eq!(Counter::from_number(index as u32), Some(*counter));
        }
        assert_eq!(Counter::from_number(ALL.len() as u32), None);
        let names: HashSet<_> = ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn every_drop_says_so_in_its_name() {
        for counter in ALL {
            let variant = std::format!("{counter:?}");
            assert_eq!(variant.starts_with("Drop"), counter.name().starts_with("drop_"), "{variant}");
            assert!(counter.help().trim().ends_with('.'), "{variant} is explained in a sentence");
        }
    }
}
