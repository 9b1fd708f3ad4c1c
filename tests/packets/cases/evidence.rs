//! What the agent is told of backends that do not behave, and how often.

use std::net::SocketAddr;

use lb_common::{
    abi::{
        Evidence::{self, Refused, Resets, Silent, Unreachable},
        EvidenceKey, RESET_CLIENTS,
    },
    counters::Counter::{
        FlowClosed, Forwarded, PortCollision, Redispatched, RedispatchedPort, ResetOutOfWindow,
        SynRetransmitted,
    },
};

use crate::{
    icmp::IcmpError,
    packet::{
        Packet,
        flags::{ACK, RST, SYN},
    },
    rig::{
        Conversation, Rig, Tier, each_family, now_tick,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, Service},
    },
};

/// Longer than a SYN must be unanswered to say something of its backend, in ticks (0.75 s).
const SILENCE: u32 = 45;

/// After so many ticks the same is told again (0.25 s).
const AGAIN: u32 = 15;

/// Just now, however long the test takes: seen in ten seconds.
const FRESH: u32 = 0_u32.wrapping_sub(600);

/// The API on the first controller.
fn api(family: Family) -> EvidenceKey {
    EvidenceKey::new(FIRST.id, Service::Api.id(family))
}

fn begun(rig: &mut Rig, family: Family, port: u16) -> (Conversation, Packet) {
    rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = rig.syn(&mut talk);
    (talk, syn)
}

/// A handshake that its backend refuses, or that cannot reach it.
fn fails(rig: &mut Rig, family: Family, port: u16, kind: Evidence) {
    let (talk, syn) = begun(rig, family, port);
    let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
    let packet = match kind {
        Unreachable => IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1).bytes(),
        _ => talk.refusal().bytes(),
    };
    rig.redispatches((&talk, &next), "it fails", packet, &syn, &[Redispatched, Forwarded]);
}

/// Lets the last time that something was told be so long ago.
fn last_told(rig: &mut Rig, key: EvidenceKey, kind: Evidence, ticks: u32) {
    let now = now_tick();
    rig.edit_evidence(key, |cell| cell.told[kind as usize] = now.wrapping_sub(ticks));
}

#[test]
fn the_same_is_told_once_in_a_while() {
    each_family("the_same_is_told_once_in_a_while", |rig, family| {
        rig.forget_evidence();
        for (port, kind) in [(24_000, Refused), (24_010, Unreachable)] {
            fails(rig, family, port, kind);
            assert_eq!(rig.told(), [(FIRST.id, kind)], "the first time");
            last_told(rig, api(family), kind, FRESH);
            fails(rig, family, port + 1, kind);
            assert_eq!(rig.told(), [], "at once again");
            last_told(rig, api(family), kind, AGAIN);
            fails(rig, family, port + 2, kind);
            assert_eq!(rig.told(), [(FIRST.id, kind)], "after a while");
        }
    });
}

#[test]
fn each_backend_and_each_kind_is_told_by_itself() {
    each_family("each_backend_and_each_kind_is_told_by_itself", |rig, family| {
        rig.forget_evidence();
        for kind in [Refused, Unreachable, Silent, Resets] {
            last_told(rig, api(family), kind, FRESH);
        }
        last_told(rig, api(family), Unreachable, AGAIN);
        fails(rig, family, 24_100, Refused);
        assert_eq!(rig.told(), [], "that kind has just been told");
        fails(rig, family, 24_101, Unreachable);
        assert_eq!(rig.told(), [(FIRST.id, Unreachable)], "another kind");
        rig.choose_from(family, Service::Mapped, &[FOURTH], &[FOURTH, FIRST]);
        let mut talk = Conversation::new(family, Service::Mapped, 24_102, FOURTH);
        let syn = rig.syn(&mut talk);
        let next = talk.clone().to(FIRST);
        rig.redispatches((&talk, &next), "it refuses", &talk.refusal(), &syn, &[Redispatched, Forwarded]);
        assert_eq!(rig.told(), [(FOURTH.id, Refused)], "another backend");
    });
}

#[test]
fn only_a_syn_that_was_old_enough_shows_silence() {
    each_family("only_a_syn_that_was_old_enough_shows_silence", |rig, family| {
        rig.forget_evidence();
        for (port, ticks, told) in [(24_200, FRESH, false), (24_201, SILENCE, true)] {
            let (talk, syn) = begun(rig, family, port);
            rig.age(Tier::HalfOpen, talk.reverse_key(), ticks);
            let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
            let moved = [SynRetransmitted, Redispatched, Forwarded];
            rig.moves((&talk, &next), "the SYN again", &syn, &moved);
            let expected: &[_] = if told { &[(FIRST.id, Silent)] } else { &[] };
            assert_eq!(rig.told(), expected, "after {ticks} ticks");
        }
    });
}

/// Silence is counted from when this backend was asked, not from when the connection began.
#[test]
fn a_backend_that_was_asked_just_now_is_not_silent() {
    each_family("a_backend_that_was_asked_just_now_is_not_silent", |rig, family| {
        rig.forget_evidence();
        let (talk, syn) = begun(rig, family, 24_300);
        for at in [talk.forward_key(), talk.reverse_key()] {
            rig.edit(Tier::HalfOpen, at, |entry| entry.meta.created = entry.meta.created.wrapping_sub(1_000));
        }
        let sequence = talk.sequence(&CONTROLLERS);
        let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
        rig.redispatches((&talk, &second), "a refusal", &talk.refusal(), &syn, &[Redispatched, Forwarded]);
        rig.told();
        rig.age(Tier::HalfOpen, second.reverse_key(), FRESH);
        let moved = [SynRetransmitted, Redispatched, Forwarded];
        rig.moves((&second, &third), "the SYN again", &syn, &moved);
        assert_eq!(rig.told(), [], "nothing is told of the second");
        rig.age(Tier::HalfOpen, third.reverse_key(), SILENCE);
        rig.ingress = 0;
        rig.run(&syn.bytes());
        assert_eq!(rig.told(), [(third.controller.id, Silent)], "the third has had its time");
    });
}

#[test]
fn what_is_not_to_be_believed_is_not_told() {
    each_family("what_is_not_to_be_believed_is_not_told", |rig, family| {
        rig.forget_evidence();
        let (talk, syn) = begun(rig, family, 24_400);
        let refusal = talk.refusal();
        for (flags, distance) in [(RST, 0), (RST | ACK, 1), (RST | ACK, 0x4000_0000)] {
            let acknowledgment = refusal.acknowledgment.wrapping_add(distance);
            let packet = Packet { acknowledgment, flags, ..refusal.clone() };
            rig.returns(&talk, "a RST from afar", &packet, &[ResetOutOfWindow, Forwarded]);
        }
        let next = talk.clone().with_candidate(1);
        let foreign = Packet { acknowledgment: 1, ..talk.clone().backend_says(SYN | ACK, &[]) };
        let moved = [PortCollision, RedispatchedPort, Forwarded];
        rig.redispatches((&talk, &next), "a port in use", &foreign, &syn, &moved);
        assert_eq!(rig.told(), [], "nothing is told");
    });
}

/// A port that nobody probes and that is refused all the time says nothing of the others, and keeps nothing from being told.
#[test]
fn each_service_is_told_by_itself() {
    each_family("each_service_is_told_by_itself", |rig, family| {
        rig.forget_evidence();
        rig.choose_from(family, Service::Mapped, &[FIRST], &[FIRST, FOURTH]);
        let mut other = Conversation::new(family, Service::Mapped, 24_103, FIRST);
        let syn = rig.syn(&mut other);
        let next = other.clone().to(FOURTH);
        rig.redispatches((&other, &next), "it refuses", &other.refusal(), &syn, &[Redispatched, Forwarded]);
        assert_eq!(rig.told(), [(FIRST.id, Refused)], "one service");
        last_told(rig, EvidenceKey::new(FIRST.id, Service::Mapped.id(family)), Refused, FRESH);
        fails(rig, family, 24_104, Refused);
        assert_eq!(rig.told(), [(FIRST.id, Refused)], "another service");
    });
}

/// Opens connections of these hosts to the first backend, in turn.
fn open(rig: &mut Rig, family: Family, hosts: &[u8], ports: std::ops::Range<u16>) -> Vec<Conversation> {
    rig.choose(family, Service::Api, &[FIRST]);
    let clients = ports.zip(hosts.iter().cycle());
    let of = |(port, host): (u16, &u8)| {
        Conversation::of(SocketAddr::new(family.client(*host), port), family, Service::Api, FIRST)
    };
    let mut talks: Vec<Conversation> = clients.map(of).collect();
    for talk in &mut talks {
        rig.open(talk);
    }
    talks
}

/// So many hosts.
fn hosts(count: usize) -> Vec<u8> {
    (1..250).step_by(7).take(count).collect()
}

/// Resets connections one after the other within one moment.
fn reset(rig: &mut Rig, family: Family, talks: &mut [Conversation]) {
    for talk in talks {
        let reset = talk.backend_says(RST, &[]);
        rig.returns(talk, "the backend's RST", &reset, &[FlowClosed, Forwarded]);
        let ahead = now_tick() + 600;
        rig.edit_evidence(api(family), |cell| cell.burst_since = ahead);
    }
}

#[test]
fn a_burst_of_resets_is_told_once() {
    each_family("a_burst_of_resets_is_told_once", |rig, family| {
        rig.forget_evidence();
        let mut talks = open(rig, family, &hosts(RESET_CLIENTS), 24_500..24_515);
        let (first, others) = talks.split_at_mut(RESET_CLIENTS - 1);
        reset(rig, family, first);
        assert_eq!(rig.told(), [], "one less is none");
        reset(rig, family, &mut others[..1]);
        assert_eq!(rig.told(), [(FIRST.id, Resets)], "a burst");
        last_told(rig, api(family), Resets, AGAIN);
        reset(rig, family, &mut others[1..]);
        assert_eq!(rig.told(), [], "what follows is another burst, and has not come to its number");
        let mut last = open(rig, family, &hosts(RESET_CLIENTS)[RESET_CLIENTS - 1..], 24_520..24_521);
        reset(rig, family, &mut last);
        assert_eq!(rig.told(), [(FIRST.id, Resets)], "another burst");
    });
}

/// Who speaks nonsense on all its connections is reset on all of them.
#[test]
fn a_few_clients_are_no_burst() {
    each_family("a_few_clients_are_no_burst", |rig, family| {
        for (first, count) in [(24_550, 1), (24_600, 2), (24_650, RESET_CLIENTS - 1)] {
            rig.forget_evidence();
            let mut talks = open(rig, family, &hosts(count), first..first + 40);
            reset(rig, family, &mut talks);
            assert_eq!(rig.told(), [], "40 connections of {count} clients");
            assert_eq!(rig.evidence_of(api(family)).resets as usize, count, "different clients");
        }
    });
}

#[test]
fn resets_over_a_long_time_are_no_burst() {
    each_family("resets_over_a_long_time_are_no_burst", |rig, family| {
        rig.forget_evidence();
        let mut talks = open(rig, family, &hosts(2 * RESET_CLIENTS), 24_700..24_716);
        for talk in &mut talks {
            reset(rig, family, std::slice::from_mut(talk));
            rig.edit_evidence(api(family), |cell| {
                cell.burst_since = cell.burst_since.wrapping_sub(600 + 120);
            });
        }
        assert_eq!(rig.told(), [], "each begins to count anew");
    });
}

#[test]
fn resets_that_show_nothing_are_not_counted() {
    each_family("resets_that_show_nothing_are_not_counted", |rig, family| {
        rig.forget_evidence();
        let mut talks = open(rig, family, &hosts(3 * RESET_CLIENTS), 24_800..24_824);
        let (far, others) = talks.split_at_mut(RESET_CLIENTS);
        for talk in far {
            let reset = talk.backend_says(RST, &[]);
            let reset = Packet { sequence: reset.sequence.wrapping_add(1 << 30), ..reset };
            rig.returns(talk, "a RST out of window", &reset, &[ResetOutOfWindow, Forwarded]);
        }
        let (clients, closing) = others.split_at_mut(RESET_CLIENTS);
        for talk in clients {
            let reset = talk.client_says(RST, &[]);
            rig.forwards(talk, "the client's RST", &reset, &[FlowClosed, Forwarded]);
        }
        for talk in closing {
            let fin = talk.client_says(ACK | crate::packet::flags::FIN, &[]);
            rig.forwards(talk, "the client's FIN", &fin, &[Forwarded]);
            let reset = talk.backend_says(RST, &[]);
            rig.returns(talk, "a RST instead of a FIN", &reset, &[FlowClosed, Forwarded]);
        }
        assert_eq!(rig.told(), [], "nothing is told");
        assert_eq!(rig.evidence_of(api(family)).resets, 0, "nothing is counted");
    });
}
