//! What a conversation's packets are expected to meet, in one call each.

use lb_common::{
    abi::{StateWord, flow_flags},
    counters::Counter,
    tcp::State,
};

use crate::packet::{
    Packet,
    flags::{ACK, SYN},
};

use super::{Conversation, Entry, Rig, Row, Tier, conversation::reset_for, row::Moved};

/// The two entries of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The client's.
    pub forward: Entry,
    /// The controller's.
    pub reverse: Entry,
}

impl Rig {
    /// A packet of the client is sent on to the controller.
    #[track_caller]
    pub fn forwards(&mut self, talk: &Conversation, what: &str, packet: &Packet, moved: Moved<'_>) {
        self.ingress = talk.client_link;
        let row = Row::transmitted(what, packet, &talk.forwarded(packet), moved);
        self.check(&on_the_way(talk, row));
    }

    /// A packet of the controller is sent on to the client.
    #[track_caller]
    pub fn returns(&mut self, talk: &Conversation, what: &str, packet: &Packet, moved: Moved<'_>) {
        self.ingress = talk.controller.link;
        let row = Row::transmitted(what, packet, &talk.returned(packet), moved);
        self.check(&on_the_way(talk, row));
    }

    /// A packet of either end is answered with a RST, back to it.
    #[track_caller]
    pub fn answers(&mut self, talk: &Conversation, what: &str, packet: &Packet, moved: Moved<'_>) {
        self.come_from(talk, packet);
        self.check(&Row::transmitted(what, packet, &reset_for(packet), moved));
    }

    /// A packet of either end is dropped.
    #[track_caller]
    pub fn drops(&mut self, talk: &Conversation, what: &str, packet: &Packet, moved: Moved<'_>) {
        self.come_from(talk, packet);
        self.check(&Row::dropped(what, packet, moved));
    }

    fn come_from(&mut self, talk: &Conversation, packet: &Packet) {
        let from_client = packet.source == talk.client;
        self.ingress = if from_client { talk.client_link } else { talk.controller.link };
    }

    /// The client's SYN.
    #[track_caller]
    pub fn syn(&mut self, talk: &mut Conversation) -> Packet {
        let syn = talk.client_says(SYN, &[]);
        self.forwards(talk, "the SYN", &syn, &[Counter::FlowOpened, Counter::Forwarded]);
        syn
    }

    /// SYN and SYN-ACK.
    #[track_caller]
    pub fn syn_ack(&mut self, talk: &mut Conversation) {
        self.syn(talk);
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        self.returns(talk, "the SYN-ACK", &syn_ack, &[Counter::Forwarded]);
    }

    /// The whole handshake; the connection is in the flow table.
    #[track_caller]
    pub fn open(&mut self, talk: &mut Conversation) {
        self.syn_ack(talk);
        let ack = talk.client_says(ACK, &[]);
        self.forwards(
            talk,
            "the end of the handshake",
            &ack,
            &[Counter::FlowEstablished, Counter::Forwarded],
        );
        self.expect(talk, Tier::Flows, State::Established, 0);
    }

    /// The connection's pair is in this tier and not in the other, each the other's twin, with this state and these
    /// flags.
    #[track_caller]
    pub fn expect(&mut self, talk: &Conversation, tier: Tier, state: State, flags: u8) -> Pair {
        let pair = self.pair(talk, tier);
        let Pair { forward, reverse } = pair;
        assert_eq!(forward.twin, talk.reverse_key(), "the forward entry's twin");
        assert_eq!(reverse.twin, talk.forward_key(), "the reverse entry's twin");
        // Whether the flow table refused it once is a matter of its past.
        let shown = |word: StateWord| (word.state(), word.without(flow_flags::STAYS_BELOW).flags());
        assert_eq!(shown(forward.word()), (state, flags), "state and flags of the forward entry");
        let reversed = (state, flags | flow_flags::REVERSE);
        assert_eq!(shown(reverse.word()), reversed, "state and flags of the reverse entry");
        for entry in [forward, reverse] {
            assert_eq!(entry.word().service(), talk.service.id(talk.family), "the service of an entry");
            assert_eq!(entry.meta.backend, talk.controller.id, "the backend of an entry");
        }
        let hop = (reverse.meta.mac, usize::from(reverse.meta.link));
        assert_eq!(hop, (talk.client_mac, talk.client_link + 1), "the client's next hop");
        let other = if tier == Tier::Flows { Tier::HalfOpen } else { Tier::Flows };
        for at in [talk.forward_key(), talk.reverse_key()] {
            assert_eq!(self.get(other, at), None, "{at:?} is in {other:?} too");
        }
        pair
    }

    /// The connection's two entries.
    #[track_caller]
    pub fn pair(&mut self, talk: &Conversation, tier: Tier) -> Pair {
        let mut entry =
            |at| self.get(tier, at).unwrap_or_else(|| panic!("an entry for {at:?} is missing in {tier:?}"));
        Pair { forward: entry(talk.forward_key()), reverse: entry(talk.reverse_key()) }
    }

    /// Nothing is known of the connection, in neither tier.
    #[track_caller]
    pub fn expect_nothing(&mut self, talk: &Conversation) {
        for tier in [Tier::Flows, Tier::HalfOpen] {
            for at in [talk.forward_key(), talk.reverse_key()] {
                assert_eq!(self.get(tier, at), None, "{at:?} in {tier:?}");
            }
        }
    }
}

fn on_the_way<'a>(talk: &Conversation, row: Row<'a>) -> Row<'a> {
    if talk.client_link == talk.controller.link { row } else { row.by_another_link() }
}
