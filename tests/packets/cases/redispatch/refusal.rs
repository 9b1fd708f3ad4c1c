//! A RST that refuses a SYN.

use lb_common::{
    counters::Counter::{
        FlowClosed, FlowEstablished, FlowOpened, FlowReopened, Forwarded, PortCollision, Redispatched,
        RefusalPassed, ResetOutOfWindow,
    },
    tcp::State::{Closed, Established, SynReceived, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, PSH, RST, SYN},
    },
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, Controller, FIRST, Family, SECOND, Service, THIRD},
    },
};

const THREE: [Controller; 3] = [FIRST, SECOND, THIRD];

/// Lets every backend of a sequence but the last refuse; the connection is at the last one then.
fn refused_by_all_but_the_last(rig: &mut Rig, talk: &Conversation, sequence: &[Controller], syn: &Packet) {
    for (number, step) in sequence.windows(2).enumerate() {
        let (from, to) = (talk.clone().to(step[0]), talk.clone().to(step[1]));
        let what = format!("backend {} refuses", step[0].id);
        rig.redispatches((&from, &to), &what, &from.refusal(), syn, &[Redispatched, Forwarded]);
        let attempt = rig.pair(&to, Tier::HalfOpen).forward.word().attempt();
        assert!(usize::from(attempt >> 4) > number, "the number of the backend grows: {attempt:#x}");
        assert_eq!(attempt & 0xf, 0, "a new backend begins with its first port");
    }
}

#[test]
fn a_refusal_reaches_the_client_when_all_have_refused() {
    each_family("a_refusal_reaches_the_client_when_all_have_refused", |rig, family| {
        for (port, first) in (10_000..).zip(THREE.repeat(6)) {
            let service = if port % 2 == 0 { Service::Api } else { Service::Mapped };
            rig.choose_from(family, service, &[first], &THREE);
            let mut talk = Conversation::new(family, service, port, first);
            let sequence = talk.sequence(&THREE);
            let syn = rig.syn(&mut talk);
            refused_by_all_but_the_last(rig, &talk, &sequence, &syn);
            let last = talk.clone().to(sequence[2]);
            let moved = [RefusalPassed, FlowClosed, Forwarded];
            rig.returns(&last, "the last one refuses too", &last.refusal(), &moved);
            rig.expect(&last, Tier::HalfOpen, Closed, 0);
        }
    });
}

#[test]
fn a_refused_client_that_comes_again_begins_anew() {
    each_family("a_refused_client_that_comes_again_begins_anew", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, SECOND]);
        let mut talk = Conversation::new(family, Service::Api, 10_100, FIRST);
        let syn = rig.syn(&mut talk);
        refused_by_all_but_the_last(rig, &talk, &[FIRST, SECOND], &syn);
        let last = talk.clone().to(SECOND);
        let moved = [RefusalPassed, FlowClosed, Forwarded];
        rig.returns(&last, "the last one refuses too", &last.refusal(), &moved);
        // The first backend's port waits for its end.
        let again = talk.with_candidate(1);
        let moved = [FlowReopened, PortCollision, FlowOpened, Forwarded];
        rig.forwards(&again, "the client's next SYN", &syn, &moved);
        let pair = rig.expect(&again, Tier::HalfOpen, SynSent, 0);
        assert_eq!(pair.forward.word().attempt(), 0, "it is a first attempt");
    });
}

#[test]
fn the_backend_that_answers_has_the_connection() {
    each_family("the_backend_that_answers_has_the_connection", |rig, family| {
        for (port, refusing) in (10_200..).zip([1, 2, 1, 2, 1, 2]) {
            rig.choose_from(family, Service::Api, &[FIRST], &THREE);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let sequence = talk.sequence(&THREE);
            let syn = rig.syn(&mut talk);
            let begun = rig.pair(&talk, Tier::HalfOpen).forward.meta;
            refused_by_all_but_the_last(rig, &talk, &sequence[..=refusing], &syn);
            let mut talk = talk.to(sequence[refusing]);
            let moved = rig.pair(&talk, Tier::HalfOpen).forward.meta;
            assert_eq!(
                (moved.created, moved.packets, moved.bytes, moved.next_sequence),
                (begun.created, begun.packets, begun.bytes, begun.next_sequence),
                "the figures of the client's packets go on"
            );
            let syn_ack = talk.backend_says(SYN | ACK, &[]);
            rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
            rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
            let ack = talk.client_says(ACK, &[]);
            rig.forwards(&talk, "the ACK", &ack, &[FlowEstablished, Forwarded]);
            let data = talk.client_says(ACK | PSH, b"a question");
            rig.forwards(&talk, "data", &data, &[Forwarded]);
            let data = talk.backend_says(ACK | PSH, b"an answer");
            rig.returns(&talk, "data", &data, &[Forwarded]);
            let pair = rig.expect(&talk, Tier::Flows, Established, 0);
            let sequences = (pair.forward.meta.next_sequence, pair.reverse.meta.next_sequence);
            assert_eq!(sequences, (talk.client_next, talk.backend_next), "the sequence numbers");
        }
    });
}

/// RSTs in SYN-SENT that are not to be believed: flags, and how far the acknowledgment is off.
const UNBELIEVABLE: [(&str, u8, u32); 7] = [
    ("acknowledges the SYN's own number", RST | ACK, 0_u32.wrapping_sub(1)),
    ("acknowledges what was never sent", RST | ACK, 1),
    ("acknowledges half the space ahead", RST | ACK, 1 << 31),
    ("acknowledges another connection", RST | ACK, 0x1234_5678),
    ("acknowledges nothing", RST, 0),
    ("is a SYN too and acknowledges another connection", RST | SYN | ACK, 99),
    ("is a SYN too and acknowledges nothing", RST | SYN, 0),
];

#[test]
fn a_refusal_that_is_not_to_be_believed_moves_nothing() {
    each_family("a_refusal_that_is_not_to_be_believed_moves_nothing", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        for (port, (what, flags, distance)) in (10_300..).zip(UNBELIEVABLE) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            rig.syn(&mut talk);
            let right = talk.refusal();
            let reset = Packet {
                flags,
                acknowledgment: right.acknowledgment.wrapping_add(distance),
                ..right.clone()
            };
            rig.returns(&talk, what, &reset, &[ResetOutOfWindow, Forwarded]);
            let pair = rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
            assert_eq!(pair.forward.word().attempt(), 0, "it is the first attempt still");
            assert_eq!(rig.told(), [], "nothing is told of the backend");
        }
    });
}

#[test]
fn a_reset_behind_the_syn_ack_is_the_clients() {
    each_family("a_reset_behind_the_syn_ack_is_the_clients", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let mut talk = Conversation::new(family, Service::Api, 10_400, FIRST);
        rig.syn_ack(&mut talk);
        let reset = talk.backend_says(RST | ACK, &[]);
        rig.returns(&talk, "it has answered before", &reset, &[FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Closed, 0);
    });
}

/// A SYN with data (TCP Fast Open, RFC 7413) is refused by what acknowledges the data too, and offered without it.
#[test]
fn a_refused_syn_with_data_is_offered_without_it() {
    each_family("a_refused_syn_with_data_is_offered_without_it", |rig, family: Family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, SECOND]);
        for (port, completes) in [(10_500, true), (10_501, false)] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let begin = talk.client_next;
            let syn = talk.client_says(SYN, b"early data");
            rig.forwards(&talk, "a SYN with data", &syn, &[FlowOpened, Forwarded]);
            let mut other = talk.clone().to(SECOND);
            let moved = [Redispatched, Forwarded];
            rig.redispatches((&talk, &other), "its refusal", &talk.refusal(), &syn, &moved);
            // The next backend has never seen the data.
            other.client_next = begin.wrapping_add(1);
            if !completes {
                let moved = [RefusalPassed, FlowClosed, Forwarded];
                rig.returns(&other, "the other one refuses too", &other.refusal(), &moved);
                rig.expect(&other, Tier::HalfOpen, Closed, 0);
                continue;
            }
            let syn_ack = other.backend_says(SYN | ACK, &[]);
            rig.returns(&other, "the SYN-ACK", &syn_ack, &[Forwarded]);
            let data = other.client_says(ACK | PSH, b"early data");
            rig.forwards(&other, "the data again", &data, &[FlowEstablished, Forwarded]);
            rig.expect(&other, Tier::Flows, Established, 0);
        }
    });
}
