//! Tables that change while a handshake is on its way, and entries that are not what they were.

use lb_common::{
    abi::{
        StateWord,
        backend_state::{ACTIVE, RESET as BACKEND_RESET, UNRESOLVED},
        flow_flags::RESET,
    },
    counters::Counter::{
        DropBeingCollected, DropNoNextHop, DropOrphanReply, DropRedispatchFailed, FlowClosed, FlowOpened,
        FlowReopened, Forwarded, HalfOpenTorn, PortCollision, Redispatched, RefusalPassed, ResetByOperator,
        SynRetransmitted,
    },
    tcp::State::{Closed, Dead, SynReceived, SynSent},
};

use crate::{
    icmp::IcmpError,
    packet::{
        Packet,
        flags::{ACK, SYN},
    },
    rig::{
        Conversation, Rig, Row, Tier, each_family,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, SECOND, Service, THIRD},
        times,
    },
};

/// A connection to the first backend that has been asked for, whose service has all four.
fn begun(rig: &mut Rig, family: Family, port: u16) -> (Conversation, Packet) {
    rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = rig.syn(&mut talk);
    (talk, syn)
}

fn all_active(rig: &mut Rig, family: Family) {
    for controller in CONTROLLERS {
        rig.set_backend_state(family, controller, ACTIVE);
    }
    rig.forget_flows(family);
}

#[test]
fn backends_that_cannot_be_reached_are_passed_over() {
    each_family("backends_that_cannot_be_reached_are_passed_over", |rig, family| {
        for (port, state) in [(21_000, UNRESOLVED), (21_010, BACKEND_RESET)] {
            let (talk, syn) = begun(rig, family, port);
            let sequence = talk.sequence(&CONTROLLERS);
            rig.set_backend_state(family, sequence[1], state);
            let third = talk.clone().to(sequence[2]);
            let moved = [Redispatched, Forwarded];
            rig.redispatches((&talk, &third), "a refusal", &talk.refusal(), &syn, &moved);
            rig.set_backend_state(family, sequence[3], state);
            let moved = [RefusalPassed, FlowClosed, Forwarded];
            rig.returns(&third, "nobody else can be reached", &third.refusal(), &moved);
            all_active(rig, family);
            let (talk, syn) = begun(rig, family, port + 1);
            let sequence = talk.sequence(&CONTROLLERS);
            rig.set_backend_state(family, sequence[1], state);
            let third = talk.clone().to(sequence[2]);
            let moved = [SynRetransmitted, Redispatched, Forwarded];
            rig.moves((&talk, &third), "the SYN again", &syn, &moved);
            all_active(rig, family);
        }
    });
}

/// The one that has been asked is gone itself: its client need not hear of it.
#[test]
fn a_handshake_at_a_backend_that_goes_moves_on() {
    each_family("a_handshake_at_a_backend_that_goes_moves_on", |rig, family| {
        for (port, state) in [(21_100, UNRESOLVED), (21_101, BACKEND_RESET)] {
            let (talk, syn) = begun(rig, family, port);
            rig.set_backend_state(family, FIRST, state);
            let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
            rig.moves((&talk, &next), "the SYN again", &syn, &[SynRetransmitted, Redispatched, Forwarded]);
            rig.set_backend_state(family, FIRST, ACTIVE);
        }
        let (talk, syn) = begun(rig, family, 21_102);
        rig.choose(family, Service::Api, &[FIRST]);
        rig.set_backend_state(family, FIRST, UNRESOLVED);
        rig.drops(&talk, "nowhere to go", &syn, &[SynRetransmitted, DropNoNextHop]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        rig.set_backend_state(family, FIRST, ACTIVE);
    });
}

#[test]
fn the_sequence_is_that_of_the_moment() {
    each_family("the_sequence_is_that_of_the_moment", |rig, family| {
        let (talk, syn) = begun(rig, family, 21_200);
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, FOURTH]);
        let other = talk.clone().to(FOURTH);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&talk, &other), "a refusal", &talk.refusal(), &syn, &moved);
        let (talk, _) = begun(rig, family, 21_201);
        rig.choose_from(family, Service::Api, &[], &[]);
        let moved = [RefusalPassed, FlowClosed, Forwarded];
        rig.returns(&talk, "the service has nobody any more", &talk.refusal(), &moved);
        let (talk, syn) = begun(rig, family, 21_202);
        rig.choose_from(family, Service::Api, &[], &[]);
        rig.forwards(&talk, "a SYN to nobody else", &syn, &[SynRetransmitted, Forwarded]);
    });
}

/// Drained, or found dead: it gets no new connection, so a client that goes on asking is not sent back to it.
#[test]
fn the_policys_choice_is_not_asked_again_when_it_is_gone() {
    each_family("the_policys_choice_is_not_asked_again_when_it_is_gone", |rig, family| {
        for port in 21_300..21_310 {
            let (talk, syn) = begun(rig, family, port);
            let rotation = [SECOND, THIRD];
            rig.choose(family, Service::Api, &rotation);
            let sequence = talk.sequence(&rotation);
            let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
            let moved = [SynRetransmitted, Redispatched, Forwarded];
            rig.moves((&talk, &second), "the SYN again", &syn, &moved);
            rig.moves((&second, &third), "and again", &syn, &moved);
            let round = second.clone().with_candidate(1);
            rig.moves((&third, &round), "and round", &syn, &times(1, PortCollision, &moved));
            let round = third.clone().with_candidate(1);
            let from = second.clone().with_candidate(1);
            let moved = times(1, PortCollision, &[Redispatched, Forwarded]);
            rig.redispatches((&from, &round), "a refusal", &from.refusal(), &syn, &moved);
            let moved = [RefusalPassed, FlowClosed, Forwarded];
            rig.returns(&round, "all have refused", &round.refusal(), &moved);
            rig.forget_flows(family);
        }
    });
}

#[test]
fn a_service_that_is_gone_offers_nothing() {
    each_family("a_service_that_is_gone_offers_nothing", |rig, family| {
        let (talk, syn) = begun(rig, family, 21_400);
        rig.remove_service(family, Service::Api);
        rig.drops(&talk, "a refusal", &talk.refusal(), &[DropRedispatchFailed]);
        rig.drops(&talk, "the SYN again", &syn, &[SynRetransmitted, DropRedispatchFailed]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        let syn_ack = talk.clone().backend_says(SYN | ACK, &[]);
        rig.returns(&talk, "what is on its way goes on", &syn_ack, &[Forwarded]);
    });
}

#[test]
fn what_the_operator_resets_is_not_offered_elsewhere() {
    each_family("what_the_operator_resets_is_not_offered_elsewhere", |rig, family| {
        for (port, flagged) in [(21_600, [true, true]), (21_601, [true, false]), (21_602, [false, true])] {
            let (talk, syn) = begun(rig, family, port);
            let keys = [talk.forward_key(), talk.reverse_key()];
            for (at, flagged) in keys.into_iter().zip(flagged) {
                rig.flag(Tier::HalfOpen, at, if flagged { RESET } else { 0 });
            }
            let error = IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1);
            rig.ingress = 0;
            rig.check(&Row::passed("an error about it", &error));
            if flagged[0] {
                rig.forwards(&talk, "its client begins anew", &syn, &[FlowReopened, FlowOpened, Forwarded]);
                rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
            } else {
                rig.forwards(&talk, "the half that knows nothing of it", &syn, &[Forwarded]);
                let syn_ack = talk.clone().backend_says(SYN | ACK, &[]);
                rig.answers(&talk, "its backend is reset", &syn_ack, &[FlowClosed, ResetByOperator]);
                rig.expect(&talk, Tier::HalfOpen, Closed, RESET);
            }
        }
    });
}

fn set_states(rig: &mut Rig, talk: &Conversation, states: [lb_common::tcp::State; 2]) {
    for (at, state) in [talk.forward_key(), talk.reverse_key()].into_iter().zip(states) {
        rig.edit(Tier::HalfOpen, at, |entry| {
            entry.meta.state = StateWord(entry.meta.state).with_state(state).0;
        });
    }
}

#[test]
fn what_somebody_has_claimed_is_left_alone() {
    each_family("what_somebody_has_claimed_is_left_alone", |rig, family| {
        for (port, states) in
            [(21_700, [Dead, SynSent]), (21_701, [Dead, Dead]), (21_702, [SynReceived, SynSent])]
        {
            let (talk, syn) = begun(rig, family, port);
            set_states(rig, &talk, states);
            let before = rig.pair(&talk, Tier::HalfOpen);
            let reason = if states[1] == Dead { DropBeingCollected } else { DropRedispatchFailed };
            rig.drops(&talk, "a refusal", &talk.refusal(), &[reason]);
            if states[0] == Dead {
                rig.drops(&talk, "the SYN again", &syn, &[DropBeingCollected]);
            }
            let after = rig.pair(&talk, Tier::HalfOpen);
            assert_eq!((before.forward, before.reverse), (after.forward, after.reverse), "{states:?}");
        }
    });
}

#[test]
fn a_pair_that_is_torn_is_offered_nowhere() {
    each_family("a_pair_that_is_torn_is_offered_nowhere", |rig, family| {
        let (talk, syn) = begun(rig, family, 21_800);
        rig.remove(Tier::HalfOpen, talk.forward_key());
        let error = IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1);
        rig.ingress = 0;
        rig.check(&Row::passed("an error about half a pair", &error));
        rig.drops(&talk, "a refusal", &talk.refusal(), &[HalfOpenTorn, DropOrphanReply]);
        rig.expect_nothing(&talk);
        let (talk, syn) = begun(rig, family, 21_801);
        let stranger = rig.occupy(Tier::HalfOpen, &talk, SynSent, 0);
        let moved = [HalfOpenTorn, PortCollision, FlowOpened, Forwarded];
        rig.forwards(&talk.with_candidate(1), "a stranger has the port", &syn, &moved);
        rig.expect_untouched(&stranger);
    });
}
