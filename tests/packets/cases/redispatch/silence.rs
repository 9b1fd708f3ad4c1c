//! A client's SYN that comes again because its backend is silent.

use lb_common::{
    counters::Counter::{
        DropTtlExpired, FlowClosed, FlowEstablished, FlowOpened, Forwarded, PortCollision, Redispatched,
        RefusalPassed, SynRetransmitted,
    },
    tcp::State::{Established, SynReceived, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, PSH, SYN},
    },
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, NEIGHBOUR_MAC, SECOND, Service, THIRD},
    },
};

const MOVED: [lb_common::counters::Counter; 3] = [SynRetransmitted, Redispatched, Forwarded];

#[test]
fn a_syn_seen_again_goes_to_the_next_backend() {
    each_family("a_syn_seen_again_goes_to_the_next_backend", |rig, family| {
        for (port, first) in (15_000..).zip(CONTROLLERS) {
            for (service, port) in [(Service::Api, port), (Service::Mapped, port + 50)] {
                rig.choose_from(family, service, &[first], &CONTROLLERS);
                let mut talk = Conversation::new(family, service, port, first);
                let mut from = talk.clone();
                let syn = rig.syn(&mut talk);
                for next in &talk.sequence(&CONTROLLERS)[1..] {
                    let to = talk.clone().to(*next);
                    rig.moves((&from, &to), &format!("to backend {}", next.id), &syn, &MOVED);
                    from = to;
                }
                let mut talk = from;
                talk.client_next = syn.sequence.wrapping_add(1);
                let syn_ack = talk.backend_says(SYN | ACK, &[]);
                rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
                rig.forwards(&talk, "the SYN has crossed it", &syn, &[SynRetransmitted, Forwarded]);
                rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
                let ack = talk.client_says(ACK | PSH, b"hello");
                rig.forwards(&talk, "the ACK", &ack, &[FlowEstablished, Forwarded]);
                rig.expect(&talk, Tier::Flows, Established, 0);
            }
        }
    });
}

#[test]
fn a_syn_that_comes_round_gets_another_port() {
    each_family("a_syn_that_comes_round_gets_another_port", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, THIRD]);
        let mut talk = Conversation::new(family, Service::Api, 15_200, FIRST);
        let syn = rig.syn(&mut talk);
        let mut from = talk.clone();
        for round in 0..5 {
            let to = talk.clone().to(THIRD).with_candidate(round);
            rig.moves((&from, &to), "away", &syn, &crate::rig::times(round as usize, PortCollision, &MOVED));
            from = talk.clone().to(FIRST).with_candidate(round + 1);
            let moved = crate::rig::times(round as usize + 1, PortCollision, &MOVED);
            rig.moves((&to, &from), "and back", &syn, &moved);
        }
    });
}

#[test]
fn a_client_on_another_link_is_sent_around_too() {
    each_family("a_client_on_another_link_is_sent_around_too", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let client = std::net::SocketAddr::new(family.neighbour(), 15_300);
        let mut talk = Conversation::of(client, family, Service::Api, FIRST).by(1, NEIGHBOUR_MAC);
        let syn = rig.syn(&mut talk);
        let sequence = talk.sequence(&CONTROLLERS);
        let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
        rig.moves((&talk, &second), "the SYN again", &syn, &MOVED);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&second, &third), "a refusal", &second.refusal(), &syn, &moved);
    });
}

/// A client that has given up and comes again from the same port: other sequence number, other options, other everything.
fn another(syn: &Packet) -> Packet {
    Packet {
        sequence: 0x1357_9bdf,
        window: 0x0123,
        class: 0x88,
        label: 0x7777,
        hops: 99,
        flags: SYN | 0xc0,
        tcp_options: vec![2, 4, 0x23, 0x00],
        ..syn.clone()
    }
}

#[test]
fn a_changed_syn_is_what_is_kept() {
    each_family("a_changed_syn_is_what_is_kept", |rig, family: Family| {
        let rotation = [FIRST, SECOND, FOURTH];
        rig.choose_from(family, Service::Api, &[FIRST], &rotation);
        let mut talk = Conversation::new(family, Service::Api, 15_400, FIRST);
        let sequence = talk.sequence(&rotation);
        let old = rig.syn(&mut talk);
        let syn = another(&old);
        let second =
            Conversation { client_next: syn.sequence.wrapping_add(1), ..talk.clone().to(sequence[1]) };
        rig.moves((&talk, &second), "another SYN", &syn, &MOVED);
        let stale = Packet { acknowledgment: old.sequence.wrapping_add(1), ..second.refusal() };
        let moved = [lb_common::counters::Counter::ResetOutOfWindow, Forwarded];
        rig.returns(&second, "a refusal of the old one", &stale, &moved);
        let third = second.clone().to(sequence[2]);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&second, &third), "a refusal of the new one", &second.refusal(), &syn, &moved);
    });
}

/// The same where there is nobody else to go to at the time.
#[test]
fn a_changed_syn_that_stays_is_kept_too() {
    each_family("a_changed_syn_that_stays_is_kept_too", |rig, family| {
        // The new number lies behind the old one, and before it.
        for (port, begin) in [(15_500, 0x1000_0000), (15_501, 0x2000_0000)] {
            rig.choose(family, Service::Api, &[FIRST]);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            talk.client_next = begin;
            rig.syn(&mut talk);
            let syn = another(&talk.clone().client_says(SYN, &[]));
            rig.forwards(&talk, "another SYN, and nowhere to go", &syn, &[SynRetransmitted, Forwarded]);
            rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, FOURTH]);
            let old = talk.refusal();
            let moved = [lb_common::counters::Counter::ResetOutOfWindow, Forwarded];
            rig.returns(&talk, "a refusal of the old one", &old, &moved);
            talk.client_next = syn.sequence.wrapping_add(1);
            let other = talk.clone().to(FOURTH);
            let moved = [Redispatched, Forwarded];
            rig.redispatches((&talk, &other), "a refusal of the new one", &talk.refusal(), &syn, &moved);
        }
    });
}

/// A SYN with data (TCP Fast Open, RFC 7413) goes on with its data where it is the client's own packet; its second one
/// has none as a rule.
fn with_data(rig: &mut Rig, talk: &mut Conversation, again: &Packet, taken: u32) {
    let begin = again.sequence;
    let sequence = talk.sequence(&[FIRST, SECOND]);
    let syn = talk.client_says(SYN, b"early data");
    rig.forwards(talk, "a SYN with data", &syn, &[FlowOpened, Forwarded]);
    let mut other = talk.clone().to(sequence[1]);
    rig.moves((talk, &other), "it comes again", again, &MOVED);
    other.client_next = begin.wrapping_add(1 + taken);
    let syn_ack = other.backend_says(SYN | ACK, &[]);
    rig.returns(&other, "the SYN-ACK", &syn_ack, &[Forwarded]);
    rig.expect(&other, Tier::HalfOpen, SynReceived, 0);
}

#[test]
fn a_syn_with_data_is_sent_around() {
    each_family("a_syn_with_data_is_sent_around", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, SECOND]);
        for (port, keeps_data, taken) in [(15_600, true, 10), (15_601, true, 0), (15_602, false, 0)] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let data: &[u8] = if keeps_data { b"early data" } else { b"" };
            let again = talk.clone().client_says(SYN, data);
            with_data(rig, &mut talk, &again, taken);
        }
    });
}

#[test]
fn a_syn_whose_time_ends_here_moves_nothing() {
    each_family("a_syn_whose_time_ends_here_moves_nothing", |rig, family| {
        for (port, others) in [(15_700, &CONTROLLERS[..]), (15_701, &[FIRST][..])] {
            rig.choose_from(family, Service::Api, &[FIRST], others);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = rig.syn(&mut talk);
            for hops in [0, 1] {
                let dying = Packet { hops, ..syn.clone() };
                rig.drops(&talk, "it would die on the way", &dying, &[SynRetransmitted, DropTtlExpired]);
                rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
            }
        }
        let mut talk = Conversation::new(family, Service::Api, 15_702, FIRST);
        rig.syn(&mut talk);
        let moved = [RefusalPassed, FlowClosed, Forwarded];
        rig.returns(&talk, "it is refused as ever", &talk.refusal(), &moved);
    });
}
