//! Which tier a connection is in: a full flow table, one that nobody collects, and the way up.

use lb_common::{
    abi::{
        backend_state::{RESET as GONE, UNRESOLVED},
        flow_flags::{BACKEND_CLOSED_FIRST, RESET, STAYS_BELOW},
    },
    counters::Counter::{
        self, DropNoNextHop, FlowClosed, FlowEstablished, FlowTableFull, FlowTableUncollected, Forwarded,
        ResetBackendGone,
    },
    tcp::State::{Closed, Dead, Established},
};

use crate::{
    packet::flags::{ACK, FIN, PSH},
    rig::{
        Conversation, Rig, SMALL, Tier, each_family, now_ns, seconds,
        setting::{FAMILIES, FIRST, Service},
        with,
    },
};

/// More than the span after which a connection of the lower tier asks for room again, in ticks.
const A_WHILE: u32 = 70;

/// Handshake, of which the last packet moves this counter: the connection stays below, which is counted once.
fn open_below(rig: &mut Rig, talk: &mut Conversation, why: Counter) {
    rig.syn_ack(talk);
    let ack = talk.client_says(ACK, &[]);
    rig.forwards(talk, "the end of the handshake", &ack, &[why, FlowEstablished, Forwarded]);
    let pair = rig.expect(talk, Tier::HalfOpen, Established, 0);
    assert!(pair.forward.word().has(STAYS_BELOW), "it is known to have been counted");
}

fn talk_and_close(rig: &mut Rig, talk: &mut Conversation) {
    let question = talk.client_says(ACK | PSH, b"a question");
    rig.forwards(talk, "a question", &question, &[Forwarded]);
    for at in [talk.forward_key(), talk.reverse_key()] {
        rig.age(Tier::HalfOpen, at, A_WHILE);
    }
    let answer = talk.backend_says(ACK | PSH, b"an answer");
    rig.returns(talk, "an answer, which asks for room again", &answer, &[Forwarded]);
    let more = talk.client_says(ACK, b"more");
    rig.forwards(talk, "more, which asks for room again", &more, &[Forwarded]);
    let fin = talk.backend_says(FIN | ACK, &[]);
    rig.returns(talk, "the backend's FIN", &fin, &[Forwarded]);
    let fin = talk.client_says(FIN | ACK, &[]);
    rig.forwards(talk, "the client's FIN", &fin, &[FlowClosed, Forwarded]);
    rig.expect(talk, Tier::HalfOpen, Closed, BACKEND_CLOSED_FIRST);
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
            talk_and_close(rig, &mut second);
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
            rig.forwards(&second, "after a while", &data, &[Forwarded]);
            rig.expect(&second, Tier::HalfOpen, Established, 0);
            rig.remove(Tier::Flows, first.reverse_key());
            rig.age(Tier::HalfOpen, second.forward_key(), A_WHILE);
            let data = second.client_says(ACK, b"room for one entry of the pair");
            rig.forwards(&second, "room for one", &data, &[Forwarded]);
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
        talk_and_close(rig, &mut talk);
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

/// Another CPU is about to delete the pair; no table has refused it.
#[test]
fn a_pair_that_is_being_deleted_is_not_counted_as_refused() {
    each_family("a_pair_that_is_being_deleted_is_not_counted_as_refused", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 47_300, FIRST);
        rig.syn_ack(&mut talk);
        rig.edit(Tier::HalfOpen, talk.reverse_key(), |entry| {
            entry.meta.state = entry.word().with_state(Established).0;
            entry.meta.last_seen = entry.meta.last_seen.wrapping_sub(A_WHILE);
        });
        rig.edit(Tier::HalfOpen, talk.forward_key(), |entry| {
            entry.meta.state = entry.word().with_state(Dead).0;
        });
        let data = talk.backend_says(ACK, b"data");
        rig.returns(&talk, "data that asks for room", &data, &[Forwarded]);
        let forward = rig.get(Tier::HalfOpen, talk.forward_key()).expect("it is not deleted yet");
        assert!(!forward.word().has(STAYS_BELOW), "it is not marked as refused");
    });
}

#[test]
fn a_connection_that_stays_below_ends_with_its_backend() {
    each_family("a_connection_that_stays_below_ends_with_its_backend", |rig, family| {
        rig.set_collected(now_ns().wrapping_sub(3_610 * 1_000_000_000));
        let mut talk = Conversation::new(family, Service::Api, 47_400, FIRST);
        open_below(rig, &mut talk, FlowTableUncollected);
        rig.set_backend_state(family, FIRST, UNRESOLVED);
        let data = talk.client_says(ACK, b"nobody knows where to");
        rig.drops(&talk, "while it cannot be reached", &data, &[DropNoNextHop]);
        let data = talk.backend_says(ACK, b"it can send");
        rig.returns(&talk, "the other way", &data, &[Forwarded]);
        rig.set_backend_state(family, FIRST, GONE);
        let data = talk.client_says(ACK, b"hello?");
        rig.answers(&talk, "the client", &data, &[FlowClosed, ResetBackendGone]);
        rig.expect(&talk, Tier::HalfOpen, Closed, RESET);
        let data = talk.backend_says(ACK, b"hello?");
        rig.answers(&talk, "the backend", &data, &[ResetBackendGone]);
    });
}
