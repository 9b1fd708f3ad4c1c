//! Which tier a connection is in: a full flow table, one that nobody collects, and the way up.

use lb_common::{
    counters::Counter::{self, FlowClosed, FlowEstablished, FlowTableFull, FlowTableUncollected, Forwarded},
    tcp::State::{Closed, Established},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH},
    },
    rig::{
        Conversation, Rig, Row, SMALL, Tier, each_family, now_ns, seconds,
        setting::{FAMILIES, FIRST, Service},
        with,
    },
};

/// More than the span after which a connection of the lower tier tries again, in ticks.
const A_WHILE: u32 = 70;

/// Handshake, of which the last packet moves these counters.
fn open_below(rig: &mut Rig, talk: &mut Conversation, why: Counter) {
    rig.syn_ack(talk);
    let ack = talk.client_says(ACK, &[]);
    rig.forwards(talk, "the end of the handshake", &ack, &[why, FlowEstablished, Forwarded]);
    rig.expect(talk, Tier::HalfOpen, Established, 0);
}

/// A packet of a connection that stays below; once in a second it asks whether there is room.
fn goes_on(rig: &mut Rig, talk: &Conversation, packet: &Packet, why: Counter, moved: &[Counter]) {
    let up = packet.source == talk.client;
    let (key, output) = if up {
        (talk.forward_key(), talk.forwarded(packet))
    } else {
        (talk.reverse_key(), talk.returned(packet))
    };
    let last_seen = rig.get(Tier::HalfOpen, key).expect("the connection is below").meta.last_seen;
    rig.ingress = 0;
    let row = Row::transmitted("a packet below", packet, &output, moved);
    rig.check(&Row { perhaps: Some((why, last_seen)), ..row });
}

fn talk_and_close(rig: &mut Rig, talk: &mut Conversation, why: Counter) {
    let question = talk.client_says(ACK | PSH, b"a question");
    goes_on(rig, talk, &question, why, &[Forwarded]);
    let answer = talk.backend_says(ACK | PSH, b"an answer");
    goes_on(rig, talk, &answer, why, &[Forwarded]);
    let fin = talk.backend_says(FIN | ACK, &[]);
    goes_on(rig, talk, &fin, why, &[Forwarded]);
    let fin = talk.client_says(FIN | ACK, &[]);
    rig.forwards(talk, "the client's FIN", &fin, &[FlowClosed, Forwarded]);
    let flags = lb_common::abi::flow_flags::BACKEND_CLOSED_FIRST;
    rig.expect(talk, Tier::HalfOpen, Closed, flags);
}

#[test]
fn a_connection_works_though_the_flow_table_is_full() {
    let sizes = lb_userspace::kernel::Sizes { flow_table: 1, ..SMALL };
    with("a_connection_works_though_the_flow_table_is_full", sizes, |rig| {
        for family in FAMILIES {
            let mut first = Conversation::new(family, Service::Api, 47_000, FIRST);
            rig.open(&mut first);
            let mut second = Conversation::new(family, Service::Api, 47_001, FIRST);
            open_below(rig, &mut second, FlowTableFull);
            talk_and_close(rig, &mut second, FlowTableFull);
            rig.expect(&first, Tier::Flows, Established, 0);
        }
    });
}

#[test]
fn a_connection_moves_up_when_there_is_room_again() {
    let sizes = lb_userspace::kernel::Sizes { flow_table: 1, ..SMALL };
    with("a_connection_moves_up_when_there_is_room_again", sizes, |rig| {
        for family in FAMILIES {
            let mut first = Conversation::new(family, Service::Api, 47_100, FIRST);
            rig.open(&mut first);
            let mut second = Conversation::new(family, Service::Api, 47_101, FIRST);
            open_below(rig, &mut second, FlowTableFull);
            rig.age(Tier::HalfOpen, second.forward_key(), A_WHILE);
            let data = second.client_says(ACK, b"no room yet");
            rig.forwards(&second, "after a while", &data, &[FlowTableFull, Forwarded]);
            rig.expect(&second, Tier::HalfOpen, Established, 0);
            rig.remove(Tier::Flows, first.reverse_key());
            let data = second.client_says(ACK, b"at once");
            goes_on(rig, &second, &data, FlowTableFull, &[Forwarded]);
            rig.age(Tier::HalfOpen, second.forward_key(), A_WHILE);
            let data = second.client_says(ACK, b"room for one entry of the pair");
            rig.forwards(&second, "room for one", &data, &[FlowTableFull, Forwarded]);
            rig.expect(&second, Tier::HalfOpen, Established, 0);
            rig.remove(Tier::Flows, first.forward_key());
            rig.age(Tier::HalfOpen, second.reverse_key(), A_WHILE);
            let data = second.backend_says(ACK, b"room for both");
            rig.returns(&second, "room for both", &data, &[Forwarded]);
            rig.expect(&second, Tier::Flows, Established, 0);
        }
    });
}

#[test]
fn without_a_collector_connections_stay_below() {
    each_family("without_a_collector_connections_stay_below", |rig, family| {
        rig.set_collected(now_ns().wrapping_sub(3_610 * 1_000_000_000));
        let mut talk = Conversation::new(family, Service::Api, 47_200, FIRST);
        open_below(rig, &mut talk, FlowTableUncollected);
        talk_and_close(rig, &mut talk, FlowTableUncollected);
        let mut talk = Conversation::new(family, Service::Api, 47_201, FIRST);
        open_below(rig, &mut talk, FlowTableUncollected);
        rig.set_collected(now_ns());
        rig.age(Tier::HalfOpen, talk.forward_key(), A_WHILE);
        let data = talk.client_says(ACK, b"the agent is back");
        rig.forwards(&talk, "the agent is back", &data, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, Established, 0);
        assert_eq!(rig.settings.uncollected_after, seconds(3_600), "the table says what was meant");
    });
}
