//! Packets that come again, and clients that come again from the same port.

use lb_common::{
    abi::{
        StateWord,
        backend_state::{ACTIVE, RESET as BACKEND_RESET},
        flow_flags::RESET,
    },
    counters::Counter::{
        DropBeingCollected, FlowClosed, FlowEstablished, FlowOpened, FlowReopened, Forwarded, RefusalPassed,
        SynRetransmitted,
    },
    tcp::State::{BackendClosed, Dead, Established, SynReceived, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{FIRST, FOURTH, Family, Service},
    },
};

#[test]
fn a_syn_with_nowhere_else_to_go_keeps_its_mapping() {
    each_family("a_syn_with_nowhere_else_to_go_keeps_its_mapping", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 45_000, FIRST);
        let syn = rig.syn(&mut talk);
        rig.forwards(&talk, "the SYN again", &syn, &[SynRetransmitted, Forwarded]);
        rig.forwards(&talk, "and again", &syn, &[SynRetransmitted, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
        // Once it is answered it stays, whatever the service would choose now.
        rig.choose(family, Service::Api, &[FOURTH]);
        rig.forwards(&talk, "the SYN, which has crossed it", &syn, &[SynRetransmitted, Forwarded]);
        rig.returns(&talk, "the SYN-ACK again", &syn_ack, &[Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
        let ack = talk.client_says(ACK, &[]);
        let blind = Packet { acknowledgment: ack.acknowledgment.wrapping_add(1), ..ack.clone() };
        rig.forwards(&talk, "an ACK by somebody who has not seen the SYN-ACK", &blind, &[Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
        rig.forwards(&talk, "the ACK", &ack, &[FlowEstablished, Forwarded]);
        rig.forwards(&talk, "the ACK again", &ack, &[Forwarded]);
        rig.forwards(&talk, "a SYN of a client that has restarted", &syn, &[Forwarded]);
        rig.returns(&talk, "the SYN-ACK again", &syn_ack, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, Established, 0);
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

fn close(rig: &mut Rig, talk: &mut Conversation) {
    let fin = talk.client_says(FIN | ACK, &[]);
    rig.forwards(talk, "the client's FIN", &fin, &[Forwarded]);
    let fin = talk.backend_says(FIN | ACK, &[]);
    rig.returns(talk, "the backend's FIN", &fin, &[FlowClosed, Forwarded]);
}

#[test]
fn a_closed_connection_is_reopened_and_chosen_anew() {
    each_family("a_closed_connection_is_reopened_and_chosen_anew", |rig, family| {
        rig.choose(family, Service::Api, &[FIRST]);
        let mut talk = Conversation::new(family, Service::Api, 45_001, FIRST);
        rig.open(&mut talk);
        close(rig, &mut talk);
        rig.choose(family, Service::Api, &[FOURTH]);
        let mut again = talk.clone().to(FOURTH);
        let syn = again.client_says(SYN, &[]);
        rig.forwards(&again, "the SYN on it", &syn, &[FlowReopened, FlowOpened, Forwarded]);
        rig.expect(&again, Tier::HalfOpen, SynSent, 0);
        assert_eq!(rig.get(Tier::Flows, talk.reverse_key()), None, "the old reverse entry");
        let syn_ack = again.backend_says(SYN | ACK, &[]);
        rig.returns(&again, "the SYN-ACK", &syn_ack, &[Forwarded]);
        let ack = again.client_says(ACK, &[]);
        rig.forwards(&again, "the ACK", &ack, &[FlowEstablished, Forwarded]);
        rig.expect(&again, Tier::Flows, Established, 0);
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

#[test]
fn a_refused_connection_is_reopened_too() {
    each_family("a_refused_connection_is_reopened_too", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 45_002, FIRST);
        rig.syn(&mut talk);
        let refusal = talk.backend_says(RST | ACK, &[]);
        rig.returns(&talk, "the refusal", &refusal, &[RefusalPassed, FlowClosed, Forwarded]);
        let syn = talk.client_says(SYN, &[]);
        rig.forwards(&talk, "the next SYN", &syn, &[FlowReopened, FlowOpened, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    });
}

#[test]
fn a_client_whose_connection_we_have_ended_may_come_again_from_its_port() {
    each_family("a_client_whose_connection_we_have_ended_may_come_again_from_its_port", |rig, family| {
        rig.choose(family, Service::Api, &[FIRST]);
        for (port, by_operator) in [(45_010, true), (45_011, false)] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            rig.open(&mut talk);
            if by_operator {
                rig.flag(Tier::Flows, talk.forward_key(), RESET);
                rig.flag(Tier::Flows, talk.reverse_key(), RESET);
            } else {
                rig.set_backend_state(family, FIRST, BACKEND_RESET);
            }
            rig.choose(family, Service::Api, &[FOURTH]);
            let mut again = talk.clone().to(FOURTH);
            let syn = again.client_says(SYN, &[]);
            rig.forwards(&again, "the SYN", &syn, &[FlowReopened, FlowOpened, Forwarded]);
            rig.expect(&again, Tier::HalfOpen, SynSent, 0);
            assert_eq!(rig.get(Tier::Flows, talk.reverse_key()), None, "the old reverse entry");
            rig.set_backend_state(family, FIRST, ACTIVE);
            rig.choose(family, Service::Api, &[FIRST]);
        }
    });
}

/// What the collector has claimed.
fn kill(rig: &mut Rig, tier: Tier, talk: &Conversation) {
    for at in [talk.forward_key(), talk.reverse_key()] {
        rig.edit(tier, at, |entry| entry.meta.state = StateWord(entry.meta.state).with_state(Dead).0);
    }
}

fn say_everything(rig: &mut Rig, talk: &mut Conversation) {
    for flags in [SYN, ACK, PSH | ACK, FIN | ACK, RST] {
        let packet = talk.client_says(flags, &[]);
        rig.drops(talk, "a packet of the client", &packet, &[DropBeingCollected]);
        let packet = talk.backend_says(flags, &[]);
        rig.drops(talk, "a packet of the backend", &packet, &[DropBeingCollected]);
    }
}

fn dead_in(rig: &mut Rig, family: Family, tier: Tier) {
    let mut talk = Conversation::new(family, Service::Api, 45_003, FIRST);
    if tier == Tier::Flows {
        rig.open(&mut talk);
    } else {
        rig.syn_ack(&mut talk);
    }
    kill(rig, tier, &talk);
    let before = rig.pair(&talk, tier);
    say_everything(rig, &mut talk);
    let after = rig.pair(&talk, tier);
    assert_eq!((before.forward, before.reverse), (after.forward, after.reverse), "the dead pair");
}

#[test]
fn a_dead_pair_answers_nothing() {
    each_family("a_dead_pair_answers_nothing", |rig, family| {
        dead_in(rig, family, Tier::Flows);
        for at in rig.all(family, Tier::Flows) {
            rig.remove(Tier::Flows, at.0);
        }
        dead_in(rig, family, Tier::HalfOpen);
    });
}

#[test]
fn what_the_collector_has_claimed_is_not_revived_by_its_twin() {
    each_family("what_the_collector_has_claimed_is_not_revived_by_its_twin", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 45_004, FIRST);
        rig.open(&mut talk);
        rig.edit(Tier::Flows, talk.forward_key(), |entry| {
            entry.meta.state = StateWord(entry.meta.state).with_state(Dead).0;
        });
        let fin = talk.backend_says(FIN | ACK, &[]);
        rig.returns(&talk, "the backend's FIN meanwhile", &fin, &[Forwarded]);
        let pair = rig.pair(&talk, Tier::Flows);
        let states = (pair.forward.word().state(), pair.reverse.word().state());
        assert_eq!(states, (Dead, BackendClosed), "the lock of the pair stays with the collector");
        let syn = talk.client_says(SYN, &[]);
        rig.drops(&talk, "a SYN before it is deleted", &syn, &[DropBeingCollected]);
    });
}
