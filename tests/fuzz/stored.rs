//! An entry of the model in the form in which the maps hold it.

use lb_common::{
    abi::{FlowMeta, StateWord, Syn, flow_flags, syn_marks},
    wire::TCP_OPTIONS,
};

use crate::model::{Entry, Tier, Tuple};

/// What a map holds of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key of the other direction's entry.
    pub twin: Tuple,
    /// State and figures.
    pub meta: FlowMeta,
    /// The SYN, in the lower tier.
    pub syn: Option<Syn>,
}

impl Stored {
    /// The entry as a tier holds it.
    pub fn of(entry: &Entry, tier: Tier) -> Self {
        let flags = [
            (entry.reverse, flow_flags::REVERSE),
            (entry.unconfirmed, flow_flags::UNCONFIRMED),
            (entry.backend_closed_first, flow_flags::BACKEND_CLOSED_FIRST),
            (entry.reset, flow_flags::RESET),
            (entry.adopted, flow_flags::ADOPTED),
            (entry.stays_below, flow_flags::STAYS_BELOW),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
        let hop = if entry.reverse { entry.hop } else { crate::model::Hop::default() };
        let meta = FlowMeta {
            bytes: entry.bytes,
            state: StateWord::new(entry.state, flags, entry.attempt, entry.service).0,
            backend: entry.backend,
            packets: entry.packets as u32,
            packets_high: (entry.packets >> 32) as u16,
            last_seen: entry.last_seen,
            created: entry.created,
            next_sequence: entry.next_sequence,
            last_acknowledgment: entry.last_acknowledgment,
            mac: hop.mac,
            link: hop.link,
            ..FlowMeta::default()
        };
        Self { twin: entry.twin, meta, syn: (tier == Tier::HalfOpen).then(|| syn(entry)) }
    }
}

fn syn(entry: &Entry) -> Syn {
    let kept = &entry.syn;
    let mut options = [0; TCP_OPTIONS];
    options[..kept.options.len()].copy_from_slice(&kept.options);
    Syn {
        hash: kept.hash,
        options,
        sequence: kept.sequence,
        ip: kept.header,
        window: kept.window,
        backend: kept.backend,
        flags: kept.flags,
        options_length: kept.options.len() as u8,
        hop_limit: kept.hops,
        marks: u8::from(kept.accurate_ecn) * syn_marks::ACCURATE_ECN
            + u8::from(kept.sound) * syn_marks::SOUND,
    }
}
