//! Tables and properties of the rise and fall machine.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::failure::FailureReason;
use super::machine::{Health, Machine, Thresholds, follow};
use super::outcome::{Outcome, ProbeResult};

const UP: Outcome = Outcome::Up;
const OPAQUE: Outcome = Outcome::Opaque;
const NOT_READY: Outcome = Outcome::NotReady;
const REFUSED: Outcome = Outcome::Failed(FailureReason::Refused);
const NO_PORT: Outcome = Outcome::Failed(FailureReason::NoLocalAddress);

fn result(outcome: Outcome, at: Instant) -> ProbeResult {
    ProbeResult::new(outcome, at, at)
}

/// Runs outcomes a second apart and returns the health after each.
fn run(outcomes: &[Outcome]) -> Vec<Health> {
    let start = Instant::now();
    let mut machine = Machine::new(Thresholds::default(), start);
    let mut now = start;
    outcomes
        .iter()
        .map(|&outcome| {
            now += Duration::from_secs(1);
            machine.apply(result(outcome, now));
            machine.health()
        })
        .collect()
}

#[test]
fn the_table_of_stories_holds() {
    use Health::{Down, NotReady, Opaque, Unverified, Up};
    let stories: &[(&str, &[Outcome], &[Health])] = &[
        ("one answer verifies", &[UP], &[Up]),
        ("one 401 verifies", &[OPAQUE], &[Opaque]),
        ("one 500 verifies", &[NOT_READY], &[NotReady]),
        ("one failure of an unverified backend is enough", &[REFUSED], &[Down]),
        ("two failures are not enough", &[UP, REFUSED, REFUSED, UP], &[Up, Up, Up, Up]),
        ("three failures are", &[UP, REFUSED, REFUSED, REFUSED], &[Up, Up, Up, Down]),
        ("failures must be in a row", &[UP, REFUSED, REFUSED, UP, REFUSED, REFUSED], &[Up; 6]),
        (
            "a 500 between failures breaks the row",
            &[UP, REFUSED, REFUSED, NOT_READY, REFUSED, REFUSED],
            &[Up, Up, Up, NotReady, NotReady, NotReady],
        ),
        ("one answer does not bring back", &[REFUSED, UP], &[Down, Down]),
        ("two do, whichever of the two kinds", &[REFUSED, UP, OPAQUE], &[Down, Down, Opaque]),
        ("answers must be in a row", &[REFUSED, UP, REFUSED, UP, UP], &[Down, Down, Down, Down, Up]),
        ("not ready is left at once", &[UP, NOT_READY, UP], &[Up, NotReady, Up]),
        (
            "not ready after down still has to rise",
            &[REFUSED, NOT_READY, UP, UP],
            &[Down, NotReady, NotReady, Up],
        ),
        (
            "not ready falls like any other",
            &[NOT_READY, REFUSED, REFUSED, REFUSED],
            &[NotReady, NotReady, NotReady, Down],
        ),
        ("opaque and up change at once", &[OPAQUE, UP, OPAQUE], &[Opaque, Up, Opaque]),
        (
            "what this host lacks judges nobody",
            &[NO_PORT, UP, NO_PORT, NO_PORT, NO_PORT],
            &[Unverified, Up, Up, Up, Up],
        ),
        (
            "what this host lacks does not break a row",
            &[UP, REFUSED, NO_PORT, REFUSED, REFUSED],
            &[Up, Up, Up, Up, Down],
        ),
    ];
    for (story, outcomes, expected) in stories {
        assert_eq!(&run(outcomes), expected, "{story}");
    }
}

#[test]
fn a_machine_goes_on_where_a_former_agents_was() {
    use Health::{Down, NotReady, Up};
    let start = Instant::now();
    let stories: &[(Health, &[Outcome], &[Health])] = &[
        (Down, &[UP, UP], &[Down, Up]),
        (NotReady, &[UP, UP], &[NotReady, Up]),
        (Up, &[REFUSED, REFUSED, REFUSED], &[Up, Up, Down]),
    ];
    for (former, outcomes, expected) in stories {
        let mut machine = Machine::resume(Thresholds::default(), *former, start);
        assert_eq!((machine.health(), machine.since()), (*former, start));
        let after = outcomes.iter().map(|outcome| {
            machine.apply(result(*outcome, start));
            machine.health()
        });
        assert_eq!(&after.collect::<Vec<_>>(), expected, "{former} and then {outcomes:?}");
    }
}

#[test]
fn a_fall_names_its_first_failure() {
    let start = Instant::now();
    let mut machine = Machine::new(Thresholds { rise: 1, fall: 2 }, start);
    machine.apply(result(UP, start));
    let first = start + Duration::from_secs(2);
    let late = first + Duration::from_secs(1);
    let failure = ProbeResult::new(REFUSED, first, late);
    assert_eq!(machine.apply(failure), None, "one failure of two must change nothing");
    assert_eq!(machine.failing(), Some((1, first)), "when it was begun");
    assert_eq!(machine.failed_at(), Some(late), "and when it was known");
    let transition = machine.apply(result(REFUSED, first + Duration::from_secs(2)));
    let transition = transition.expect("the second failure must take it down");
    assert_eq!((transition.from, transition.to), (Health::Up, Health::Down));
    assert_eq!(transition.first_failure, Some(first));
    assert_eq!(transition.why, REFUSED);
}

#[test]
fn evidence_leaves_one_failure_to_the_fall_and_an_answer_forgets_it() {
    let start = Instant::now();
    let mut machine = Machine::new(Thresholds::default(), start);
    machine.apply(result(UP, start));
    machine.suspect(start);
    assert_eq!(
        (machine.health(), machine.in_doubt()),
        (Health::Up, true),
        "evidence alone changes no health"
    );
    machine.apply(result(OPAQUE, start));
    assert!(!machine.in_doubt(), "an answer forgets it");
    machine.apply(result(REFUSED, start));
    assert_eq!(machine.failing(), Some((1, start)), "and the count begins anew");

    let seen = start + Duration::from_secs(1);
    machine.apply(result(UP, seen));
    machine.suspect(seen);
    machine.suspect(seen + Duration::from_secs(1));
    let decided = machine.apply(result(REFUSED, seen + Duration::from_secs(2)));
    let decided = decided.expect("one failed probe decides after evidence");
    assert_eq!(
        (decided.to, decided.first_failure),
        (Health::Down, Some(seen)),
        "the evidence was the first sign"
    );
    machine.suspect(seen);
    assert!(!machine.in_doubt(), "whoever is down cannot be suspected of more");
}

#[test]
fn doubt_is_where_the_next_results_decide() {
    let stories: &[(&str, &[Outcome], bool)] = &[
        ("nothing known", &[], false),
        ("up", &[UP], false),
        ("one failure", &[UP, REFUSED], true),
        ("down", &[UP, REFUSED, REFUSED, REFUSED], false),
        ("down, and one answer", &[REFUSED, UP], true),
        ("down, one answer and a failure", &[REFUSED, UP, REFUSED], false),
        ("risen", &[REFUSED, UP, UP], false),
        ("not ready", &[UP, NOT_READY], false),
        ("not ready, and one failure", &[UP, NOT_READY, REFUSED], true),
        ("not ready after down, and one answer", &[REFUSED, NOT_READY, UP], true),
    ];
    for (story, outcomes, expected) in stories {
        let start = Instant::now();
        let mut machine = Machine::new(Thresholds::default(), start);
        for &outcome in *outcomes {
            machine.apply(result(outcome, start));
        }
        assert_eq!(machine.in_doubt(), *expected, "{story}");
    }
}

#[test]
fn following_only_takes_out() {
    use Health::{Down, NotReady, Opaque, Unverified, Up};
    for (own, followed, expected) in [
        (None, Opaque, Opaque),
        (None, Unverified, Unverified),
        (None, Down, Down),
        (Some(Up), Opaque, Up),
        (Some(Up), Unverified, Up),
        (Some(Up), NotReady, NotReady),
        (Some(Up), Down, Down),
        (Some(Down), Up, Down),
        (Some(NotReady), Down, Down),
        (Some(Unverified), Up, Unverified),
    ] {
        assert_eq!(follow(own, followed), expected, "{own:?} following {followed}");
    }
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let one = prop_oneof![Just(UP), Just(OPAQUE), Just(NOT_READY), Just(REFUSED), Just(NO_PORT)];
    prop::collection::vec(one, 0..64)
}

proptest! {
    #[test]
    fn evidence_decides_nothing_but_lets_the_next_probe_decide(
        before in outcomes(),
        answer in prop_oneof![Just(UP), Just(OPAQUE), Just(NOT_READY)],
        rise in 0u32..5,
        fall in 0u32..5,
    ) {
        let start = Instant::now();
        let mut machine = Machine::new(Thresholds { rise, fall }, start);
        for outcome in before {
            machine.apply(result(outcome, start));
        }
        let mut suspected = machine.clone();
        suspected.suspect(start);
        prop_assert_eq!(suspected.health(), machine.health(), "evidence takes nobody down");

        let mut failed = suspected.clone();
        failed.apply(result(NO_PORT, start));
        prop_assert_eq!(failed.health(), machine.health(), "nor does what this host lacks");
        failed.apply(result(REFUSED, start));
        prop_assert_eq!(failed.health(), Health::Down, "the next failed probe decides");

        machine.apply(result(answer, start));
        suspected.apply(result(answer, start));
        let facts = |machine: &Machine| (machine.health(), machine.failing(), machine.in_doubt());
        prop_assert_eq!(facts(&suspected), facts(&machine), "an answer forgets the evidence");
    }

    #[test]
    fn every_transition_was_earned(outcomes in outcomes(), rise in 0u32..5, fall in 0u32..5) {
        let start = Instant::now();
        let mut machine = Machine::new(Thresholds { rise, fall }, start);
        let (mut answers, mut failures, mut was_down) = (0u32, 0u32, false);
        for (second, outcome) in (1u64..).zip(outcomes) {
            let before = machine.health();
            match outcome {
                Outcome::Up | Outcome::Opaque => (answers, failures) = (answers + 1, 0),
                Outcome::NotReady => (answers, failures) = (0, 0),
                Outcome::Failed(reason) if reason.is_local() => {}
                Outcome::Failed(_) => (answers, failures) = (0, failures + 1),
            }
            let transition = machine.apply(result(outcome, start + Duration::from_secs(second)));
            let after = machine.health();
            prop_assert_eq!(transition.is_some(), before != after, "a transition is told exactly when there is one");
            prop_assert!(after != Health::Unverified || before == Health::Unverified, "nobody becomes unverified");
            if after == Health::Down && before != Health::Down {
                prop_assert!(failures >= fall || before == Health::Unverified, "down after {failures} failures");
                prop_assert!(failures >= 1);
                was_down = true;
            }
            if matches!(after, Health::Up | Health::Opaque) {
                prop_assert!(!was_down || answers >= rise, "in use again after {answers} answers");
                was_down = false;
            }
            prop_assert!(failures < fall.max(1) || after == Health::Down, "{failures} failures and still {after}");
            if let Some(transition) = transition {
                prop_assert_eq!((transition.from, transition.to), (before, after));
                prop_assert_eq!(transition.first_failure.is_some(), after == Health::Down);
            }
        }
    }
}

#[test]
fn only_who_was_down_has_come_back() {
    let began = Instant::now();
    // What the probes say, and after how many of them it came back.
    let stories: &[(&str, &[Outcome], Option<usize>)] = &[
        ("never down", &[UP, NOT_READY, UP, OPAQUE], None),
        ("down", &[UP, REFUSED, REFUSED, REFUSED], None),
        ("down, and not up often enough", &[REFUSED, UP], None),
        ("back", &[REFUSED, UP, UP, UP, OPAQUE], Some(3)),
        ("back by way of not ready", &[REFUSED, NOT_READY, UP, UP], Some(4)),
        ("not ready later does not matter", &[REFUSED, UP, UP, NOT_READY, UP], Some(3)),
        ("down again", &[REFUSED, UP, UP, REFUSED, REFUSED, REFUSED], None),
        ("back again", &[REFUSED, UP, UP, REFUSED, REFUSED, REFUSED, OPAQUE, UP], Some(8)),
    ];
    let second = |number: usize| began + Duration::from_secs(number as u64);
    for (story, outcomes, expected) in stories {
        let mut machine = Machine::new(Thresholds { rise: 2, fall: 3 }, began);
        for (number, outcome) in (1..).zip(*outcomes) {
            machine.apply(result(*outcome, second(number)));
        }
        assert_eq!(machine.returned(), expected.map(second), "{story}");
    }
}
