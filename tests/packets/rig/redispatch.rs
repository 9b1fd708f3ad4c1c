//! A connection that is offered to one backend after the other, and its SYN as it must be made for each.

use lb_common::{
    abi::StateWord,
    counters::Counter,
    tcp::State::{Closed, SynSent},
};

use crate::packet::{
    Packet, SHORTEST_FRAME,
    flags::{ACK, RST},
};

use super::{Conversation, Rig, Row, Tier, row::Moved, setting::Controller, talk::Pair};

impl Conversation {
    /// The backends from the place on that follows from the connection's hash.
    pub fn round(&self, rotation: &[Controller]) -> Vec<Controller> {
        let start = (self.hash() >> 48) as usize;
        (0..rotation.len()).map(|step| rotation[(start + step) % rotation.len()]).collect()
    }

    /// The backends in the order in which this connection is offered to them: the policy's choice, which is the one that
    /// it leads to now, then the others.
    pub fn sequence(&self, rotation: &[Controller]) -> Vec<Controller> {
        let others = self.round(rotation).into_iter().filter(|other| other.id != self.controller.id);
        std::iter::once(self.controller).chain(others).collect()
    }

    /// The SYN of this connection as it is made for its backend: all that is kept of the client's, and nothing else.
    pub fn made(&self, syn: &Packet) -> Packet {
        let bare = Packet {
            ip_options: Vec::new(),
            extensions: Vec::new(),
            fragment: syn.fragment & 0xe000,
            reserved: syn.reserved & 1,
            payload: Vec::new(),
            padding: Vec::new(),
            checksum: crate::packet::Checksum::Right,
            ..self.forwarded(syn)
        };
        let padding = vec![0; SHORTEST_FRAME.saturating_sub(bare.bytes().len())];
        Packet { padding, ..bare }
    }

    /// What a backend that does not listen answers to a SYN.
    pub fn refusal(&self) -> Packet {
        let refusal = self.clone().backend_says(RST | ACK, &[]);
        Packet { sequence: 0, window: 0, tcp_options: Vec::new(), ..refusal }
    }
}

impl Rig {
    /// A packet about the connection `from` turns into the SYN of `to`, which is the same at another backend or port.
    #[track_caller]
    pub fn redispatches(
        &mut self,
        (from, to): (&Conversation, &Conversation),
        what: &str,
        packet: impl Into<Vec<u8>>,
        syn: &Packet,
        moved: Moved<'_>,
    ) {
        self.ingress = from.controller.link;
        let row = Row::transmitted(what, packet, &to.made(syn), moved);
        let crosses = from.controller.link != to.controller.link;
        self.check(&if crosses { row.by_another_link() } else { row });
        self.expect_moved(from, to);
    }

    /// The client's SYN, seen again, goes to another backend or port.
    #[track_caller]
    pub fn moves(
        &mut self,
        (from, to): (&Conversation, &Conversation),
        what: &str,
        syn: &Packet,
        moved: Moved<'_>,
    ) {
        self.forwards(to, what, syn, moved);
        self.expect_moved(from, to);
    }

    /// The connection is where it was offered last; its former mapping is closed and waits for its end.
    #[track_caller]
    pub fn expect_moved(&mut self, from: &Conversation, to: &Conversation) -> Pair {
        let pair = self.expect(to, Tier::HalfOpen, SynSent, 0);
        let undone = self.get(Tier::HalfOpen, from.reverse_key()).expect("the undone mapping keeps its port");
        assert_eq!(undone.word().state(), Closed, "the undone mapping");
        assert_eq!(undone.twin, from.forward_key(), "the undone mapping still names its client");
        assert_eq!(self.get(Tier::Flows, from.reverse_key()), None, "it is not in the flow table");
        pair
    }

    /// Sets flags of one entry's state word.
    pub fn flag(&mut self, tier: Tier, at: super::Tuple, flags: u8) {
        self.edit(tier, at, |entry| entry.meta.state = StateWord(entry.meta.state).with(flags).0);
    }
}

/// A counter so many times, and others.
pub fn times(count: usize, counter: Counter, others: Moved<'_>) -> Vec<Counter> {
    let mut moved = vec![counter; count];
    moved.extend(others);
    moved
}
