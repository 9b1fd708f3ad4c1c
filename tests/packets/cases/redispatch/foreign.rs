//! A backend that holds another connection at the address and port from which it is asked: it answers a SYN with an ACK of
//! that connection (RFC 5961, section 4), or with a SYN-ACK of another SYN.

use lb_common::{
    abi::backend_state::{ACTIVE, RESET, UNRESOLVED},
    counters::Counter::{
        FlowClosed, FlowEstablished, FlowOpened, Forwarded, PortCollision, Redispatched, RedispatchedPort,
        RefusalPassed,
    },
    limits::REDISPATCH_PORTS,
    tcp::State::{Established, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, SYN},
    },
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, FIRST, Family, SECOND, Service, THIRD},
        times,
    },
};

/// Answers of another connection: flags, and how far the acknowledgment is off.
const ANSWERS: [(&str, u8, u32); 7] = [
    ("an ACK of another connection", ACK, 0x7654_3210),
    ("an ACK of what was sent before", ACK, 0_u32.wrapping_sub(1)),
    ("data of another connection", ACK | PSH, 1 << 31),
    ("the end of another connection", ACK | FIN, 5),
    ("a SYN-ACK of the number before", SYN | ACK, 0_u32.wrapping_sub(1)),
    ("a SYN-ACK of the number behind", SYN | ACK, 1),
    ("a SYN-ACK of another SYN", SYN | ACK, 0x8000_0001),
];

fn answer(talk: &Conversation, (_, flags, distance): (&str, u8, u32)) -> Packet {
    let answer = talk.clone().backend_says(flags, &[]);
    Packet { acknowledgment: answer.acknowledgment.wrapping_add(distance), ..answer }
}

/// Lets a backend give foreign answers at each of its ports but the last; the connection has the last one then.
fn until_the_last_port(
    rig: &mut Rig,
    talk: &Conversation,
    syn: &Packet,
    kind: (&str, u8, u32),
) -> Conversation {
    let mut at = talk.clone();
    for port in 1..REDISPATCH_PORTS {
        let next = talk.clone().with_candidate(port.into());
        let moved = times(port.into(), PortCollision, &[RedispatchedPort, Forwarded]);
        rig.redispatches((&at, &next), &format!("port {port}: {}", kind.0), &answer(&at, kind), syn, &moved);
        let attempt = rig.pair(&next, Tier::HalfOpen).forward.word().attempt();
        assert_eq!(attempt & 0xf, port, "the number of the port");
        at = next;
    }
    at
}

#[test]
fn a_foreign_answer_goes_to_the_next_port_and_at_last_to_the_next_backend() {
    each_family("a_foreign_answer_goes_to_the_next_port_and_at_last_to_the_next_backend", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, SECOND]);
        for (port, kind) in (14_000..).zip(ANSWERS) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = rig.syn(&mut talk);
            let last = until_the_last_port(rig, &talk, &syn, kind);
            let other = talk.clone().to(SECOND);
            let moved = [Redispatched, Forwarded];
            rig.redispatches((&last, &other), "no port is left", &answer(&last, kind), &syn, &moved);
            let last = until_the_last_port(rig, &other, &syn, kind);
            // The client sees what its backend says, as without us.
            rig.returns(&last, "nobody is left", &answer(&last, kind), &[RefusalPassed, Forwarded]);
            assert_eq!(rig.told(), [], "a port in use says nothing of a backend");
            rig.forget_flows(family);
        }
    });
}

#[test]
fn the_connection_completes_at_the_second_port() {
    each_family("the_connection_completes_at_the_second_port", |rig, family| {
        for (port, controller) in (14_100..).zip(CONTROLLERS) {
            rig.choose(family, Service::Mapped, &[controller]);
            let mut talk = Conversation::new(family, Service::Mapped, port, controller);
            let syn = rig.syn(&mut talk);
            let mut next = talk.clone().with_candidate(1);
            let moved = [PortCollision, RedispatchedPort, Forwarded];
            rig.redispatches((&talk, &next), "a foreign ACK", &answer(&talk, ANSWERS[0]), &syn, &moved);
            let syn_ack = next.backend_says(SYN | ACK, &[]);
            rig.returns(&next, "the SYN-ACK", &syn_ack, &[Forwarded]);
            let ack = next.client_says(ACK, b"hello");
            rig.forwards(&next, "the ACK", &ack, &[FlowEstablished, Forwarded]);
            rig.expect(&next, Tier::Flows, Established, 0);
        }
    });
}

/// A packet without ACK says nothing in SYN-SENT, a SYN of the backend's neither.
#[test]
fn an_answer_without_ack_moves_nothing() {
    each_family("an_answer_without_ack_moves_nothing", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let mut talk = Conversation::new(family, Service::Api, 14_200, FIRST);
        rig.syn(&mut talk);
        for flags in [0, PSH, FIN, SYN, SYN | FIN] {
            let packet = talk.clone().backend_says(flags, &[]);
            rig.returns(&talk, &format!("flags {flags:#x}"), &packet, &[Forwarded]);
            rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        }
    });
}

/// A port may be another connection's at a backend that may get nothing now.
#[test]
fn the_next_port_is_tried_only_at_a_backend_that_can_be_reached() {
    each_family("the_next_port_is_tried_only_at_a_backend_that_can_be_reached", |rig, family: Family| {
        for (port, state) in [(14_300, UNRESOLVED), (14_301, RESET)] {
            rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, THIRD]);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = rig.syn(&mut talk);
            rig.set_backend_state(family, FIRST, state);
            let other = talk.clone().to(THIRD);
            let foreign = answer(&talk, ANSWERS[0]);
            rig.redispatches((&talk, &other), "a foreign ACK", &foreign, &syn, &[Redispatched, Forwarded]);
            rig.set_backend_state(family, FIRST, ACTIVE);
        }
    });
}

/// An acknowledgment of the SYN alone, or with its data, is the answer that was waited for (RFC 7413, section 4.2).
#[test]
fn a_syn_with_data_may_be_acknowledged_with_or_without_it() {
    each_family("a_syn_with_data_may_be_acknowledged_with_or_without_it", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let early = b"early data";
        for (port, taken) in (14_400..).zip(0..=early.len() as u32 + 1) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let begin = talk.client_next.wrapping_add(1);
            let syn = talk.client_says(SYN, early);
            rig.forwards(&talk, "a SYN with data", &syn, &[FlowOpened, Forwarded]);
            let syn_ack = talk.clone().backend_says(SYN | ACK, &[]);
            let syn_ack = Packet { acknowledgment: begin.wrapping_add(taken), ..syn_ack };
            if taken <= early.len() as u32 {
                rig.returns(&talk, &format!("{taken} bytes are taken"), &syn_ack, &[Forwarded]);
            } else {
                let next = talk.clone().with_candidate(1);
                let moved = [PortCollision, RedispatchedPort, Forwarded];
                rig.redispatches((&talk, &next), "more than was sent", &syn_ack, &syn, &moved);
            }
        }
    });
}

/// Those who know nothing of data in a SYN refuse it alone (RFC 9293, section 3.10.7.3: any acknowledgment of what was
/// sent will do).
#[test]
fn a_syn_with_data_may_be_refused_with_or_without_it() {
    each_family("a_syn_with_data_may_be_refused_with_or_without_it", |rig, family| {
        let early = b"early data";
        for (port, taken) in (14_500..).zip(0..=early.len() as u32) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = talk.client_says(SYN, early);
            rig.forwards(&talk, "a SYN with data", &syn, &[FlowOpened, Forwarded]);
            let acknowledgment = syn.sequence.wrapping_add(1 + taken);
            let refusal = Packet { acknowledgment, ..talk.refusal() };
            let moved = [RefusalPassed, FlowClosed, Forwarded];
            rig.returns(&talk, &format!("{taken} bytes are refused"), &refusal, &moved);
        }
    });
}
