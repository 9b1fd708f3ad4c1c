//! How far a connection is offered: to how many backends, in which order.

use lb_common::{
    abi::backend_state::{ACTIVE, NONE},
    counters::Counter::{FlowClosed, Forwarded, Redispatched, RefusalPassed, SynRetransmitted},
    limits::REDISPATCH_BACKENDS,
    tcp::State::{Closed, SynSent},
};

use crate::rig::{
    Conversation, Rig, Tier, each_family,
    setting::{CONTROLLERS, Controller, FIRST, Family, Service},
};

/// So many backends: those of the setting, then more on the first link.
pub(super) fn many(count: u8) -> Vec<Controller> {
    let more = |id: u8| Controller { id: id.into(), mac: [2, 0, 0, 0, 1, id], link: 0, vip_is_source: false };
    CONTROLLERS.into_iter().chain((5..=16).map(more)).take(count.into()).collect()
}

pub(super) fn set_states(rig: &mut Rig, family: Family, state: u8) {
    for controller in &many(16)[CONTROLLERS.len()..] {
        rig.set_backend_state(family, *controller, state);
    }
}

/// Refuses until the client hears of it; who was asked, in this order.
fn asked(rig: &mut Rig, talk: &mut Conversation) -> Vec<u16> {
    let backends = many(16);
    let syn = rig.syn(talk);
    let mut asked = vec![talk.controller.id];
    loop {
        let refusal = talk.refusal();
        rig.ingress = talk.controller.link;
        let before = rig.counters();
        let ran = rig.run(&refusal.bytes());
        let passed = before
            .iter()
            .zip(&rig.counters())
            .any(|(before, after)| before.0 == RefusalPassed.name() && before.1 != after.1);
        if passed {
            assert_eq!(ran.output, talk.returned(&refusal).bytes(), "the client gets the refusal");
            rig.expect(talk, Tier::HalfOpen, Closed, 0);
            return asked;
        }
        let forward =
            rig.get(Tier::HalfOpen, talk.forward_key()).expect("the connection is offered to somebody");
        let next = backends.iter().find(|backend| backend.id == forward.meta.backend).expect("a backend");
        *talk = talk.clone().to(*next);
        assert_eq!(ran.output, talk.made(&syn).bytes(), "the SYN to backend {}", next.id);
        asked.push(next.id);
        assert!(asked.len() <= 32, "it ends: {asked:?}");
    }
}

/// Ports for which the policy's choice stands at every place of the sequence.
const FLOWS: u16 = 40;

#[test]
fn every_backend_is_asked_once_and_never_more_than_the_bound() {
    each_family("every_backend_is_asked_once_and_never_more_than_the_bound", |rig, family| {
        set_states(rig, family, ACTIVE);
        for count in [1, 2, 5, 7, 8, 9, 12, 16] {
            let rotation = many(count);
            rig.choose_from(family, Service::Api, &[FIRST], &rotation);
            for port in 0..FLOWS {
                let port = 11_000 + u16::from(count) * 100 + port;
                let mut talk = Conversation::new(family, Service::Api, port, FIRST);
                let sequence = talk.sequence(&rotation);
                let asked = asked(rig, &mut talk);
                let bound = usize::from(count).min(REDISPATCH_BACKENDS as usize);
                let most: Vec<u16> = sequence.iter().take(bound).map(|backend| backend.id).collect();
                assert_eq!(asked, most[..asked.len()], "the order in which {count} backends are asked");
                // With more than the bound, the one that has been asked may stand among those that are next.
                let least = if usize::from(count) <= bound { bound } else { bound - 1 };
                assert!(asked.len() >= least, "of {count} backends only {asked:?} were asked");
                rig.forget_flows(family);
            }
        }
        set_states(rig, family, NONE);
    });
}

#[test]
fn with_one_backend_a_refusal_reaches_the_client_at_once() {
    each_family("with_one_backend_a_refusal_reaches_the_client_at_once", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 13_000, FIRST);
        rig.syn(&mut talk);
        let moved = [RefusalPassed, FlowClosed, Forwarded];
        rig.returns(&talk, "there is nobody else", &talk.refusal(), &moved);
        rig.expect(&talk, Tier::HalfOpen, Closed, 0);
    });
}

/// Whom the SYNs of a client that goes on asking must meet: the policy's choice and the others, then all of them again and
/// again. Nobody is asked twice in a row.
fn rounds(talk: &Conversation, rotation: &[Controller], length: usize) -> Vec<u16> {
    let mut round = talk.round(rotation);
    if round.len() > REDISPATCH_BACKENDS as usize {
        round.truncate(REDISPATCH_BACKENDS as usize - 1);
    }
    let first = talk.controller.id;
    let others = round.iter().filter(|backend| backend.id != first);
    let mut met: Vec<u16> = std::iter::once(first).chain(others.map(|backend| backend.id)).collect();
    met.extend(round.iter().cycle().map(|backend| backend.id).take(length));
    met.dedup();
    met.truncate(length);
    met
}

#[test]
fn a_syn_seen_again_goes_round_all_backends() {
    each_family("a_syn_seen_again_goes_round_all_backends", |rig, family| {
        set_states(rig, family, ACTIVE);
        for (port, count) in (13_100..).zip([2, 3, 4, 5, 8, 9, 12, 16].repeat(4)) {
            let rotation = many(count);
            rig.choose_from(family, Service::Api, &[FIRST], &rotation);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = rig.syn(&mut talk);
            let mut met = vec![FIRST.id];
            for again in 1..3 * count {
                rig.ingress = 0;
                rig.run(&syn.bytes());
                let forward = rig.get(Tier::HalfOpen, talk.forward_key()).expect("it is offered to somebody");
                assert_eq!(forward.word().state(), SynSent, "SYN {again} of {count} backends");
                met.push(forward.meta.backend);
            }
            assert_eq!(met, rounds(&talk, &rotation, met.len()), "{count} backends");
            rig.forget_flows(family);
        }
        set_states(rig, family, NONE);
    });
}

#[test]
fn a_refusal_behind_silence_goes_on_from_there() {
    each_family("a_refusal_behind_silence_goes_on_from_there", |rig, family| {
        let rotation = many(4);
        rig.choose_from(family, Service::Mapped, &[rotation[1]], &rotation[..3]);
        let mut talk = Conversation::new(family, Service::Mapped, 13_200, rotation[1]);
        let sequence = talk.sequence(&rotation[..3]);
        let syn = rig.syn(&mut talk);
        let second = talk.clone().to(sequence[1]);
        rig.forwards(&second, "the SYN again", &syn, &[SynRetransmitted, Redispatched, Forwarded]);
        let third = talk.clone().to(sequence[2]);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&second, &third), "the second one refuses", &second.refusal(), &syn, &moved);
        let moved = [RefusalPassed, FlowClosed, Forwarded];
        rig.returns(&third, "so does the third", &third.refusal(), &moved);
    });
}
