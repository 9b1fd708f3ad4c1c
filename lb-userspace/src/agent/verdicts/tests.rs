//! When connections are reset, and when not.

use std::{net::Ipv4Addr, time::Duration};

use super::*;
use crate::{
    agent::machines::{FormerHealth, Wanted},
    config::Family,
    health::{FailureReason, Thresholds},
};

const FALL: u32 = 3;

fn backend(number: u16) -> Probed {
    Probed { service: "api".into(), backend: number, family: Family::V4 }
}

/// Three backends of one service, their machines and the verdicts.
struct Story {
    machines: Machines,
    verdicts: Verdicts,
    now: Instant,
}

impl Story {
    /// All have answered.
    fn new(backends: u16) -> Self {
        let now = Instant::now();
        let mut machines = Machines::default();
        let wanted = (1..=backends).map(|number| Wanted {
            probed: backend(number),
            service: 0,
            address: Ipv4Addr::new(10, 0, 0, number as u8).into(),
        });
        let thresholds = Thresholds { rise: 2, fall: FALL };
        machines.settle(wanted.collect(), |_| thresholds, &FormerHealth::new(), now);
        let mut story = Self { machines, verdicts: Verdicts::default(), now };
        (1..=backends).for_each(|number| assert!(!story.answers(number)));
        story
    }

    /// A probe of the next second.
    fn probe(&mut self, number: u16, outcome: Outcome) -> bool {
        let begun = self.now + Duration::from_millis(900);
        self.now += Duration::from_secs(1);
        let result = ProbeResult::new(outcome, begun, self.now);
        let probed = backend(number);
        if let Some(transition) = self.machines.apply(&probed, result) {
            self.verdicts.changed(&probed, &transition);
        }
        self.verdicts.probed(&probed, &result, &self.machines, FALL)
    }

    fn answers(&mut self, number: u16) -> bool {
        self.probe(number, Outcome::Up)
    }

    fn fails(&mut self, number: u16) -> bool {
        self.probe(number, Outcome::Failed(FailureReason::Timeout))
    }

    /// Goes down, which resets nothing yet.
    fn falls(&mut self, number: u16) {
        (0..FALL).for_each(|_| assert!(!self.fails(number), "a verdict alone resets nothing"));
    }
}

#[test]
fn connections_are_reset_when_the_others_have_answered_and_it_has_failed_again() {
    let mut story = Story::new(3);
    story.falls(1);
    assert!(!story.answers(2), "one of two others");
    assert!(!story.fails(1), "the third has not been heard");
    assert_eq!(story.verdicts.to_ask(), [], "nobody is cleared");
    assert!(!story.answers(3), "an answer resets nothing by itself");
    assert_eq!(story.verdicts.to_ask(), [backend(1)], "it is asked once more");
    assert_eq!(story.verdicts.to_ask(), [], "once");
    assert!(story.fails(1), "it is down, and the balancer is not to blame");
    assert!(!story.fails(1), "once");
}

#[test]
fn a_backend_that_answers_again_keeps_its_connections() {
    let mut story = Story::new(3);
    story.falls(1);
    story.answers(2);
    story.answers(3);
    assert!(!story.answers(1));
    assert!(!story.answers(1), "it is up again");
    assert!(!story.fails(1), "and may fail a probe");
}

#[test]
fn the_only_backend_is_never_reset() {
    let mut story = Story::new(1);
    story.falls(1);
    (0..10).for_each(|_| assert!(!story.fails(1), "nobody can tell whose fault it is"));
}

#[test]
fn when_all_fail_it_is_the_balancers_own_uplink() {
    let mut story = Story::new(3);
    for _ in 0..5 {
        (1..=3).for_each(|number| assert!(!story.fails(number)));
    }
    // It comes back: each answers with its next probe.
    for _ in 0..3 {
        (1..=3).for_each(|number| assert!(!story.answers(number), "{number} keeps its connections"));
    }
}

#[test]
fn one_that_does_not_come_back_with_the_others_is_reset() {
    let mut story = Story::new(3);
    for _ in 0..5 {
        (1..=3).for_each(|number| assert!(!story.fails(number)));
    }
    assert!(!story.answers(2));
    assert!(!story.answers(3));
    (1..FALL).for_each(|_| assert!(!story.fails(1)));
    assert!(story.fails(1), "the others answer, it does not");
}

#[test]
fn two_that_die_at_once_are_both_reset() {
    let mut story = Story::new(3);
    for _ in 0..FALL {
        assert!(!story.fails(1));
        assert!(!story.fails(2));
    }
    assert!(!story.answers(3));
    (1..FALL).for_each(|_| assert!(!story.fails(1), "it may be the way to both"));
    assert!(story.fails(1), "the one that is left speaks for the balancer");
    assert!(!story.answers(3));
    (1..FALL).for_each(|_| assert!(!story.fails(2)));
    assert!(story.fails(2), "and for the other");
}

#[test]
fn one_that_was_down_before_is_not_asked() {
    let mut story = Story::new(3);
    story.falls(2);
    story.answers(1);
    story.answers(3);
    assert!(story.fails(2), "the first");
    story.falls(1);
    assert!(!story.answers(3));
    assert!(story.fails(1), "the dead one is no witness and no hindrance");
}

#[test]
fn a_balancer_in_trouble_wants_the_whole_verdict_again() {
    let mut story = Story::new(2);
    assert!(!story.fails(1));
    story.verdicts.trouble(story.now);
    assert!(!story.fails(1));
    assert!(!story.fails(1), "down, but the carrier was lost meanwhile");
    assert!(!story.answers(2));
    assert!(!story.fails(1));
    assert!(!story.fails(1));
    assert!(story.fails(1), "three more");
}

#[test]
fn trouble_after_the_verdict_makes_what_was_heard_worthless() {
    let mut story = Story::new(2);
    story.falls(1);
    story.answers(2);
    story.verdicts.trouble(story.now);
    assert!(!story.fails(1), "the answer was from before");
    assert!(!story.answers(2));
    (1..FALL).for_each(|_| assert!(!story.fails(1)));
    assert!(story.fails(1));
}

#[test]
fn what_this_host_lacks_is_no_failure_of_a_backend() {
    let mut story = Story::new(2);
    story.falls(1);
    story.answers(2);
    assert!(!story.probe(1, Outcome::Failed(FailureReason::NoLocalAddress)));
    assert!(story.fails(1));
}

#[test]
fn the_verdict_of_a_former_agent_is_carried_out() {
    let mut story = Story::new(3);
    story.verdicts.resume(backend(1), story.now);
    assert!(!story.fails(1));
    story.answers(2);
    story.answers(3);
    assert!(story.fails(1));
}
