//! Whose connections end when.

use super::*;
use Ending::{AtOnce, Drained};

const TIMEOUT: Option<Duration> = Some(Duration::from_secs(60));

/// What is not in use at so many seconds, and whose connections then end.
type Step = (u64, &'static [(BackendId, Ending)], &'static [BackendId]);

fn run(story: &str, timeout: Option<Duration>, steps: &[Step]) {
    let began = Instant::now();
    let mut endings = Endings::default();
    for (seconds, leaving, expected) in steps {
        let now = began + Duration::from_secs(*seconds);
        let due: Vec<BackendId> = endings.due(leaving.iter().copied(), timeout, now).into_iter().collect();
        assert_eq!(due, *expected, "{story}, after {seconds} s");
    }
}

#[test]
fn each_ends_once_and_when_it_is_due() {
    run("nobody leaves", TIMEOUT, &[(0, &[], &[]), (100, &[], &[])]);
    let disabled: &[_] = &[(1, AtOnce)];
    run("disabled", TIMEOUT, &[(0, disabled, &[1]), (1, disabled, &[]), (100, disabled, &[])]);
    let drained: &[_] = &[(1, Drained)];
    run(
        "drained",
        TIMEOUT,
        &[(0, drained, &[]), (59, drained, &[]), (60, drained, &[1]), (61, drained, &[])],
    );
    run("drained, without an end", None, &[(0, drained, &[]), (1_000_000, drained, &[])]);
    run(
        "two, one later",
        TIMEOUT,
        &[
            (0, drained, &[]),
            (30, &[(1, Drained), (2, Drained)], &[]),
            (60, &[(1, Drained), (2, Drained)], &[1]),
            (90, &[(1, Drained), (2, Drained)], &[2]),
        ],
    );
    run("disabled while it drains", TIMEOUT, &[(0, drained, &[]), (10, disabled, &[1]), (90, disabled, &[])]);
    run(
        "enabled meanwhile: it begins anew",
        TIMEOUT,
        &[(0, drained, &[]), (50, &[], &[]), (55, drained, &[]), (100, drained, &[]), (115, drained, &[1])],
    );
    run("disabled again", TIMEOUT, &[(0, disabled, &[1]), (1, &[], &[]), (2, disabled, &[1])]);
}

#[test]
fn a_timeout_that_is_set_later_counts_from_the_beginning_of_the_drain() {
    let began = Instant::now();
    let mut endings = Endings::default();
    let mut due = |timeout, seconds| {
        endings.due([(1, Drained)].into_iter(), timeout, began + Duration::from_secs(seconds))
    };
    assert!(due(None, 0).is_empty() && due(None, 100).is_empty());
    assert_eq!(due(TIMEOUT, 101), BTreeSet::from([1]));
}

#[test]
fn what_could_not_be_begun_is_due_again() {
    let (mut endings, now) = (Endings::default(), Instant::now());
    let due = |endings: &mut Endings| endings.due([(7, AtOnce)].into_iter(), None, now);
    let first = due(&mut endings);
    assert_eq!((first.len(), due(&mut endings).len()), (1, 0), "once");
    endings.again(&first);
    assert_eq!((due(&mut endings).len(), due(&mut endings).len()), (1, 0), "and once more");
}
