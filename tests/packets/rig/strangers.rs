//! Entries that belong to others, written as if their packets had made them.

use std::net::SocketAddr;

use lb_common::{
    abi::{FlowMeta, StateWord, flow_flags},
    tcp::State,
};

use super::{Conversation, Entry, Rig, Tier, fill::now_tick, tables::Tuple};

/// Somebody else's connection, which holds the port that a conversation would get.
#[derive(Clone, Copy, Debug)]
pub struct Stranger {
    tier: Tier,
    keys: [Tuple; 2],
    entries: [Entry; 2],
}

impl Rig {
    /// Lets a stranger hold the port of a conversation, since so many ticks.
    pub fn occupy(&mut self, tier: Tier, talk: &Conversation, state: State, ticks: u32) -> Stranger {
        let client = SocketAddr::new(talk.family.client(200), talk.snat.port());
        let keys = [(client, talk.address()), talk.reverse_key()];
        let seen = now_tick().wrapping_sub(ticks);
        let entry = |flags, twin| Entry {
            twin,
            meta: FlowMeta {
                state: StateWord::new(state, flags, 0, talk.service.id(talk.family)).0,
                backend: talk.controller.id,
                last_seen: seen,
                created: seen,
                next_sequence: 77,
                packets: 3,
                link: 1,
                mac: talk.client_mac,
                ..FlowMeta::default()
            },
        };
        let entries = [entry(0, keys[1]), entry(flow_flags::REVERSE, keys[0])];
        for (at, entry) in keys.iter().zip(&entries) {
            self.put(tier, *at, entry);
        }
        Stranger { tier, keys, entries }
    }

    /// The stranger's two entries are as they were.
    #[track_caller]
    pub fn expect_untouched(&mut self, stranger: &Stranger) {
        for (at, entry) in stranger.keys.iter().zip(&stranger.entries) {
            assert_eq!(self.get(stranger.tier, *at), Some(*entry), "the stranger's entry {at:?}");
        }
    }

    /// The stranger's client has no entry any more.
    #[track_caller]
    pub fn expect_given_up(&mut self, stranger: &Stranger) {
        assert_eq!(self.get(stranger.tier, stranger.keys[0]), None, "the stranger's forward entry");
    }
}
