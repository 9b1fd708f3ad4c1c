//! Which SNAT port a connection gets when others have it, and what happens when there is none.

use lb_common::{
    abi::{
        StateWord,
        flow_flags::{ADOPTED, BACKEND_CLOSED_FIRST, RESET, STAYS_BELOW},
    },
    counters::Counter::{self, FlowOpened, Forwarded, HalfOpenTakenOver, PortCollision, ResetNoPort},
    limits::PORT_CANDIDATES,
    tcp::State::{self, Closed, Established, SynReceived, SynSent},
};

use crate::{
    packet::flags::SYN,
    rig::{
        Conversation, Rig, TIMEOUTS, Tier, each_family,
        setting::{FIRST, Family, Service},
    },
};

/// A handshake younger than this is not given up for another, in ticks.
const STALE: u32 = 60;

/// Fresh however long the test takes: seen in ten seconds.
const FRESH: u32 = 0_u32.wrapping_sub(600);

/// More than the ticks that may go by while a row is run.
const MARGIN: u32 = 250;

/// Who holds the first candidate: where, in which state, for how long, and whether it is given up.
const HOLDERS: [(&str, Tier, State, u32, bool); 9] = [
    ("a connection", Tier::Flows, Established, 0, false),
    ("a silent connection", Tier::Flows, Established, TIMEOUTS.established + 10, false),
    ("a closed connection", Tier::Flows, Closed, TIMEOUTS.closed - MARGIN, false),
    ("an expired closed connection", Tier::Flows, Closed, TIMEOUTS.closed + 10, true),
    ("an answered handshake", Tier::HalfOpen, SynReceived, STALE + 10, false),
    ("a fresh handshake", Tier::HalfOpen, SynSent, FRESH, false),
    ("a stale handshake", Tier::HalfOpen, SynSent, STALE + 10, true),
    ("a refused connection", Tier::HalfOpen, Closed, 0, false),
    ("an expired refused connection", Tier::HalfOpen, Closed, TIMEOUTS.closed + 10, true),
];

#[test]
fn a_port_that_is_in_use_makes_way_for_the_second_candidate() {
    each_family("a_port_that_is_in_use_makes_way_for_the_second_candidate", |rig, family| {
        for (port, (who, tier, state, ticks, given_up)) in (46_000..).zip(HOLDERS) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let stranger = rig.occupy(tier, &talk, state, ticks);
            if !given_up {
                talk = talk.with_candidate(1);
            }
            let moved: &[Counter] = match (given_up, tier) {
                (false, _) => &[PortCollision, FlowOpened, Forwarded],
                (true, Tier::Flows) => &[FlowOpened, Forwarded],
                (true, Tier::HalfOpen) => &[HalfOpenTakenOver, FlowOpened, Forwarded],
            };
            let syn = talk.client_says(SYN, &[]);
            rig.forwards(&talk, &format!("the port is held by {who}"), &syn, moved);
            rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
            if given_up {
                rig.expect_given_up(&stranger);
            } else {
                rig.expect_untouched(&stranger);
            }
        }
    });
}

#[test]
fn a_port_in_the_backends_time_wait_is_kept_longer() {
    each_family("a_port_in_the_backends_time_wait_is_kept_longer", |rig, family| {
        for (port, ticks, kept) in [
            (46_100, TIMEOUTS.closed + 10, true),
            (46_101, TIMEOUTS.time_wait - MARGIN, true),
            (46_102, TIMEOUTS.time_wait + 10, false),
        ] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            rig.occupy(Tier::Flows, &talk, Closed, ticks);
            rig.edit(Tier::Flows, talk.reverse_key(), |entry| {
                entry.meta.state = StateWord(entry.meta.state).with(BACKEND_CLOSED_FIRST).0;
            });
            if kept {
                talk = talk.with_candidate(1);
            }
            let syn = talk.client_says(SYN, &[]);
            let moved: &[Counter] =
                if kept { &[PortCollision, FlowOpened, Forwarded] } else { &[FlowOpened, Forwarded] };
            rig.forwards(&talk, &format!("closed by the backend {ticks} ticks ago"), &syn, moved);
        }
    });
}

/// Lets strangers hold every candidate of a conversation.
fn occupy_all(rig: &mut Rig, talk: &Conversation) {
    for number in 0..PORT_CANDIDATES {
        rig.occupy(Tier::Flows, &talk.clone().with_candidate(number), Established, 0);
    }
}

fn collisions(then: &[Counter]) -> Vec<Counter> {
    let mut moved = vec![PortCollision; PORT_CANDIDATES as usize];
    moved.extend(then);
    moved
}

#[test]
fn a_connection_without_a_free_port_is_refused() {
    each_family("a_connection_without_a_free_port_is_refused", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 46_200, FIRST);
        occupy_all(rig, &talk);
        let syn = talk.client_says(SYN, &[]);
        rig.answers(&talk, "every candidate is a connection's", &syn, &collisions(&[ResetNoPort]));
        assert_eq!(rig.all(family, Tier::HalfOpen), [], "nothing is left of it");
        let padded = crate::packet::Packet { payload: b"early data".repeat(20), ..syn };
        rig.answers(&talk, "the same with a long SYN", &padded, &collisions(&[ResetNoPort]));
    });
}

fn with_one_handshake(rig: &mut Rig, family: Family, number: u32, ticks: u32) {
    let port = 46_300 + number as u16;
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    occupy_all(rig, &talk);
    talk = talk.with_candidate(number);
    rig.remove(Tier::Flows, talk.reverse_key());
    let stranger = rig.occupy(Tier::HalfOpen, &talk, SynSent, ticks);
    let syn = talk.client_says(SYN, &[]);
    let then = [HalfOpenTakenOver, FlowOpened, Forwarded];
    let fresh = collisions(&then);
    let stale = &fresh[(PORT_CANDIDATES - number) as usize..];
    let moved = if ticks == FRESH { &fresh } else { stale };
    rig.forwards(&talk, "one candidate is a mere handshake's", &syn, moved);
    rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    rig.expect_given_up(&stranger);
}

#[test]
fn a_handshake_gives_way_when_every_port_is_in_use() {
    each_family("a_handshake_gives_way_when_every_port_is_in_use", |rig, family| {
        for number in [0, 5, PORT_CANDIDATES - 1] {
            with_one_handshake(rig, family, number, FRESH);
        }
        with_one_handshake(rig, family, 7, STALE + 10);
    });
}

/// A pair of the lower tier that was refused, or that its client gave up, was never a connection.
#[test]
fn a_pair_that_was_no_connection_gives_way_too() {
    each_family("a_pair_that_was_no_connection_gives_way_too", |rig, family| {
        let held = [0, STAYS_BELOW, ADOPTED, RESET];
        for (port, flags) in (46_400..).zip(held) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            occupy_all(rig, &talk);
            talk = talk.with_candidate(9);
            rig.remove(Tier::Flows, talk.reverse_key());
            let stranger = rig.occupy(Tier::HalfOpen, &talk, Closed, FRESH);
            let forward = rig.get(Tier::HalfOpen, talk.reverse_key()).expect("it has just been written").twin;
            rig.flag(Tier::HalfOpen, forward, flags);
            let syn = talk.client_says(SYN, &[]);
            if flags == 0 {
                let then = [HalfOpenTakenOver, FlowOpened, Forwarded];
                rig.forwards(&talk, "it was none", &syn, &collisions(&then));
                rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
                rig.expect_given_up(&stranger);
            } else {
                rig.answers(&talk, &format!("it was one: {flags:#x}"), &syn, &collisions(&[ResetNoPort]));
            }
        }
    });
}
