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
        let mut story = Self::unverified(backends);
        (1..=backends).for_each(|number| assert_eq!(story.answers(number), None));
        story
    }

    /// Nobody has been asked.
    fn unverified(backends: u16) -> Self {
        let now = Instant::now();
        let mut machines = Machines::default();
        let wanted = (1..=backends).map(|number| Wanted {
            probed: backend(number),
            service: 0,
            address: Ipv4Addr::new(10, 0, 0, number as u8).into(),
        });
        let thresholds = Thresholds { rise: 2, fall: FALL };
        machines.settle(wanted.collect(), |_| thresholds, &FormerHealth::new(), now);
        Self { machines, verdicts: Verdicts::default(), now }
    }

    /// A probe that takes so many milliseconds, a second after the last; whose connections are reset when it ends.
    fn probe(&mut self, number: u16, outcome: Outcome, takes_ms: u64) -> Option<u16> {
        let begun = self.now + Duration::from_secs(1);
        self.now = begun + Duration::from_millis(takes_ms);
        let result = ProbeResult::new(outcome, begun, self.now);
        let probed = backend(number);
        if let Some(transition) = self.machines.apply(&probed, result) {
            self.verdicts.changed(&probed, &transition, FALL);
        }
        self.verdicts.probed(&probed, &result, &self.machines);
        self.due()
    }

    /// Whose connections are reset by now, if anybody's.
    fn due(&mut self) -> Option<u16> {
        let due = self.verdicts.due();
        assert!(due.len() <= 1, "one at a time: {due:?}");
        due.first().map(|probed| probed.backend)
    }

    fn answers(&mut self, number: u16) -> Option<u16> {
        self.probe(number, Outcome::Up, 5)
    }

    fn fails(&mut self, number: u16) -> Option<u16> {
        self.probe(number, Outcome::Failed(FailureReason::Timeout), 900)
    }

    /// Goes down, which resets nothing yet.
    fn falls(&mut self, number: u16) {
        (0..FALL).for_each(|_| assert_eq!(self.fails(number), None, "a verdict alone resets nothing"));
    }

    /// What came of the knocks; whose connections are then reset.
    fn knocked(&mut self, number: u16, outcome: Outcome) -> Option<u16> {
        let begun = self.now + Duration::from_millis(1);
        self.verdicts.knocked(&backend(number), &ProbeResult::new(outcome, begun, begun + PATIENCE));
        self.due()
    }

    fn is_silent(&mut self, number: u16) -> Option<u16> {
        self.knocked(number, Outcome::Failed(FailureReason::Timeout))
    }

    fn why(&self, number: u16) -> Option<Reason> {
        self.verdicts.waiting().find(|(of, _)| **of == backend(number)).map(|(_, reason)| reason)
    }
}

#[test]
fn a_backend_that_stays_silent_while_the_others_answer_is_reset() {
    let mut story = Story::new(3);
    story.falls(1);
    assert_eq!(story.why(1), Some(Reason::NoWitness));
    assert_eq!(story.is_silent(1), None, "nobody speaks for the balancer yet");
    assert_eq!(story.answers(2), None, "one of two others");
    assert_eq!(story.answers(3), Some(1), "the others have answered, it has not");
    assert_eq!(story.due(), None, "once");
    assert_eq!(story.fails(1), None, "once");
}

#[test]
fn silence_after_the_others_have_answered_is_silence_too() {
    let mut story = Story::new(2);
    story.falls(1);
    assert_eq!(story.answers(2), None, "it may still answer");
    let late = Outcome::Failed(FailureReason::Late);
    assert_eq!(story.knocked(1, late), None, "this host was too busy to hear");
    assert_eq!(story.is_silent(1), Some(1));
}

#[test]
fn who_answers_the_knocks_has_to_fail_a_whole_probe() {
    let mut story = Story::new(2);
    story.falls(1);
    assert_eq!(story.knocked(1, Outcome::Up), None);
    assert_eq!(story.answers(2), None, "something listens there");
    assert_eq!(story.fails(1), Some(1), "but does not answer");
}

#[test]
fn knocks_from_before_the_verdict_show_nothing() {
    let mut story = Story::new(2);
    let before = story.now;
    story.falls(1);
    story.answers(2);
    let silence = Outcome::Failed(FailureReason::Timeout);
    story.verdicts.knocked(&backend(1), &ProbeResult::new(silence, before, story.now));
    assert_eq!(story.due(), None);
}

#[test]
fn whoever_is_far_away_is_given_the_time_that_it_usually_takes() {
    let mut story = Story::new(2);
    assert_eq!(patience(&backend(1), &story.machines), PATIENCE);
    story.probe(1, Outcome::Up, 90);
    story.falls(1);
    assert_eq!(patience(&backend(1), &story.machines), Duration::from_millis(90) * PATIENCE_FACTOR);
}

#[test]
fn a_witness_that_fails_has_said_nothing() {
    let mut story = Story::new(3);
    // Away, back for a moment in which only the others are asked, and away again.
    (1..=3).for_each(|number| assert_eq!(story.fails(number), None));
    story.falls(1);
    assert_eq!(story.answers(2), None);
    assert_eq!(story.answers(3), None);
    assert_eq!(story.why(1), Some(Reason::Doubt));
    assert_eq!(story.fails(2), None);
    for _ in 0..2 * FALL {
        assert_eq!(story.fails(1), None, "it is the uplink again");
    }
    assert_eq!(story.answers(2), None);
    assert_eq!(story.answers(3), None);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None));
    assert_eq!(story.fails(1), Some(1), "they answer for as long as it fails");
}

#[test]
fn what_is_not_probed_any_more_is_forgotten() {
    let mut story = Story::new(2);
    story.falls(1);
    story.verdicts.keep(|probed| *probed != backend(1));
    story.answers(2);
    assert_eq!((story.is_silent(1), story.why(1)), (None, None));
}

#[test]
fn a_backend_that_fails_another_probe_is_reset_with_the_last_witness() {
    let mut story = Story::new(3);
    story.falls(1);
    assert_eq!(story.answers(2), None, "one of two others");
    assert_eq!(story.fails(1), None, "the third has not been heard");
    assert_eq!(story.answers(3), Some(1), "nothing more is waited for");
}

#[test]
fn a_backend_that_answers_again_keeps_its_connections() {
    let mut story = Story::new(3);
    story.falls(1);
    story.answers(2);
    assert_eq!(story.answers(1), None, "it lives");
    assert_eq!(story.answers(3), None);
    assert_eq!(story.is_silent(1), None, "so its silence is none");
    assert_eq!(story.answers(1), None, "it is up again");
    assert_eq!(story.fails(1), None, "and may fail a probe");
}

#[test]
fn one_that_answers_once_and_dies_before_it_has_risen_is_judged_anew() {
    let mut story = Story::new(2);
    story.falls(1);
    story.answers(1);
    story.answers(2);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None, "it has answered since the verdict"));
    assert_eq!(story.fails(1), Some(1), "as many failures as made the first verdict");
}

#[test]
fn the_only_backend_is_never_reset() {
    let mut story = Story::new(1);
    story.falls(1);
    (0..10).for_each(|_| assert_eq!(story.fails(1), None, "nobody can tell whose fault it is"));
    assert_eq!(story.why(1), Some(Reason::NoWitness));
}

#[test]
fn one_failure_of_a_backend_that_nobody_has_asked_before_ends_no_connection() {
    let mut story = Story::unverified(2);
    story.answers(2);
    assert_eq!(story.fails(1), None, "down, but by one probe");
    story.answers(2);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None));
    assert_eq!(story.fails(1), Some(1));
}

#[test]
fn when_all_fail_it_is_the_balancers_own_uplink() {
    let mut story = Story::new(3);
    for _ in 0..5 {
        (1..=3).for_each(|number| assert_eq!(story.fails(number), None));
    }
    // It comes back: each answers with its next probe.
    for _ in 0..3 {
        (1..=3).for_each(|number| assert_eq!(story.answers(number), None, "{number} keeps its connections"));
    }
    (1..=3).for_each(|number| assert_eq!(story.is_silent(number), None));
}

#[test]
fn an_uplink_that_comes_back_at_the_moment_of_the_verdict_ends_no_connection() {
    let mut story = Story::new(3);
    story.fails(1);
    story.fails(2);
    story.fails(1);
    story.fails(1);
    // Down, and from now on everybody answers; the second one had failed meanwhile.
    story.answers(2);
    story.answers(3);
    assert_eq!(story.is_silent(1), None, "the way to both was lost, so silence is not enough");
    assert_eq!(story.why(1), Some(Reason::Doubt));
    assert_eq!(story.verdicts.in_doubt("api"), [backend(1)], "so it is asked often");
    assert_eq!(story.answers(1), None);
}

#[test]
fn one_that_does_not_come_back_with_the_others_is_reset() {
    let mut story = Story::new(3);
    for _ in 0..5 {
        (1..=3).for_each(|number| assert_eq!(story.fails(number), None));
    }
    assert_eq!(story.answers(2), None);
    assert_eq!(story.answers(3), None);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None));
    assert_eq!(story.fails(1), Some(1), "the others answer, it does not");
}

#[test]
fn two_that_die_at_once_are_both_reset() {
    let mut story = Story::new(3);
    for _ in 0..FALL {
        assert_eq!(story.fails(1), None);
        assert_eq!(story.fails(2), None);
    }
    // Each is asked once more with the others.
    assert_eq!(story.fails(1), None);
    assert_eq!(story.fails(2), None);
    assert_eq!(story.answers(3), None);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None, "it may be the way to both"));
    assert_eq!(story.fails(1), Some(1), "the one that is left speaks for the balancer");
    (1..FALL).for_each(|_| assert_eq!(story.fails(2), None));
    assert_eq!(story.fails(2), Some(2), "and for the other");
}

#[test]
fn one_that_was_down_before_is_not_asked() {
    let mut story = Story::new(3);
    story.falls(2);
    story.answers(1);
    story.answers(3);
    assert_eq!(story.fails(2), Some(2), "the first");
    story.falls(1);
    assert_eq!(story.answers(3), None);
    assert_eq!(story.fails(1), Some(1), "the dead one is no witness and no hindrance");
}

#[test]
fn a_balancer_in_trouble_wants_the_whole_verdict_again() {
    let mut story = Story::new(2);
    assert_eq!(story.fails(1), None);
    story.verdicts.trouble(story.now);
    assert_eq!(story.fails(1), None);
    assert_eq!(story.fails(1), None, "down, but the carrier was lost meanwhile");
    assert_eq!(story.answers(2), None);
    assert_eq!(story.fails(1), None);
    assert_eq!(story.fails(1), None);
    assert_eq!(story.fails(1), Some(1), "three more");
}

#[test]
fn trouble_after_the_verdict_makes_what_was_heard_worthless() {
    let mut story = Story::new(2);
    story.falls(1);
    story.answers(2);
    story.verdicts.trouble(story.now);
    assert_eq!(story.fails(1), None, "the answer was from before");
    assert_eq!(story.answers(2), None);
    (1..FALL).for_each(|_| assert_eq!(story.fails(1), None));
    assert_eq!(story.fails(1), Some(1));
}

#[test]
fn what_this_host_lacks_is_no_failure_of_a_backend() {
    let mut story = Story::new(2);
    story.falls(1);
    story.answers(2);
    story.verdicts.trouble(story.now);
    story.answers(2);
    (0..FALL)
        .for_each(|_| assert_eq!(story.probe(1, Outcome::Failed(FailureReason::NoLocalAddress), 1), None));
    assert_eq!(story.why(1), Some(Reason::Doubt));
}

#[test]
fn the_verdict_of_a_former_agent_is_carried_out() {
    let mut story = Story::new(3);
    story.verdicts.resume(backend(1), story.now, FALL);
    assert_eq!(story.fails(1), None);
    story.answers(2);
    assert_eq!(story.answers(3), Some(1), "it has failed, and the others have answered");
}

#[test]
fn the_verdict_of_a_former_agent_wants_a_failure_that_this_one_saw() {
    let mut story = Story::new(2);
    story.verdicts.resume(backend(1), story.now, FALL);
    story.answers(2);
    assert_eq!(story.is_silent(1), None, "silence is not enough");
    assert_eq!(story.fails(1), Some(1));
}
