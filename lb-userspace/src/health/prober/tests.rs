//! The schedule as a pure thing, and the task against loopback.

use std::net::TcpListener;

use tokio::time::timeout;

use super::schedule::Schedule;
use super::*;

const INTERVAL: Duration = Duration::from_secs(2);

fn target(address: SocketAddr, interval: Duration) -> Target {
    Target {
        address,
        source: None,
        foreign_ports: None,
        kind: ProbeKind::Tcp,
        interval,
        fast_interval: interval / 4,
        timeout: interval / 2,
    }
}

fn any() -> Target {
    target(SocketAddr::from(([192, 0, 2, 1], 6443)), INTERVAL)
}

#[test]
fn a_target_is_due_at_once_and_then_an_interval_later() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.set(TargetId(1), any(), start);
    let (due, _) = schedule.take_due(start).expect("a new target is due at once");
    assert!(schedule.take_due(start + 10 * INTERVAL).is_none(), "one probe at a time");
    assert!(schedule.finish(due));
    let next = schedule.next_at().expect("it is planned again");
    assert!(
        next >= start + INTERVAL * 9 / 10 && next <= start + INTERVAL * 11 / 10,
        "a tenth of jitter at most"
    );
}

#[test]
fn setting_the_same_again_changes_nothing() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.set(TargetId(1), any(), start);
    let (due, _) = schedule.take_due(start).expect("a new target is due at once");
    schedule.set(TargetId(1), any(), start);
    assert!(schedule.take_due(start).is_none(), "the same target is not due again");
    assert!(schedule.finish(due), "and its probe still counts");
}

#[test]
fn answers_for_what_was_changed_or_removed_belong_to_nobody() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.set(TargetId(1), any(), start);
    let (old, _) = schedule.take_due(start).expect("a new target is due at once");
    schedule.set(TargetId(1), target(SocketAddr::from(([192, 0, 2, 2], 6443)), INTERVAL), start);
    assert!(!schedule.finish(old), "it was changed");
    let (new, _) = schedule.take_due(start).expect("a changed target is due at once");
    schedule.replace(BTreeMap::new(), start);
    assert!(!schedule.finish(new), "it was removed");
    assert_eq!(schedule.next_at(), None);
}

#[test]
fn waking_makes_due_but_neither_twice_nor_at_will() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.set(TargetId(1), any(), start);
    let (due, _) = schedule.take_due(start).expect("a new target is due at once");
    schedule.wake(TargetId(1), start);
    assert!(schedule.take_due(start).is_none(), "its probe is on its way already");
    schedule.finish(due);
    schedule.wake(TargetId(1), start);
    assert!(schedule.take_due(start).is_none(), "the last probe is too fresh");
    assert_eq!(schedule.next_at(), Some(start + INTERVAL / 4), "a quarter of the interval apart");
    let later = start + INTERVAL / 2;
    schedule.set(TargetId(2), any(), later);
    schedule.wake(TargetId(1), later);
    assert!(schedule.take_due(later).is_some(), "a woken target is due");
}

#[test]
fn who_is_asked_once_more_is_asked_at_once() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.set(TargetId(1), any(), start);
    let (due, _) = schedule.take_due(start).expect("a new target is due at once");
    schedule.ask(TargetId(1), start);
    assert!(schedule.take_due(start).is_none(), "its probe is on its way already");
    schedule.finish(due);
    let (due, _) = schedule.take_due(start).expect("it is asked again as soon as that is over");
    schedule.finish(due);
    assert!(schedule.take_due(start).is_none(), "once");
}

#[test]
fn who_is_in_doubt_is_asked_at_the_fast_interval_until_it_is_not() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    let fast = INTERVAL / 4;
    let within = |at: Option<Instant>, from: Instant, interval: Duration| {
        let at = at.expect("it is planned");
        assert!(at >= from + interval * 9 / 10 && at <= from + interval * 11 / 10, "{:?}", at - from);
    };
    schedule.set(TargetId(1), any(), start);
    let (due, _) = schedule.take_due(start).expect("a new target is due at once");
    schedule.finish(due);
    schedule.hurry(TargetId(1), true, start);
    within(schedule.next_at(), start, fast);

    let second = start + INTERVAL;
    let (due, _) = schedule.take_due(second).expect("it is due");
    schedule.hurry(TargetId(1), true, second);
    schedule.finish(due);
    within(schedule.next_at(), second, fast);

    let third = second + INTERVAL;
    let (due, _) = schedule.take_due(third).expect("it is due");
    schedule.finish(due);
    schedule.hurry(TargetId(1), false, third);
    within(schedule.next_at(), third, fast);
    let fourth = third + INTERVAL;
    let (due, _) = schedule.take_due(fourth).expect("it is due");
    schedule.finish(due);
    within(schedule.next_at(), fourth, INTERVAL);
}

#[test]
fn targets_added_together_drift_apart() {
    let (mut schedule, start) = (Schedule::new(), Instant::now());
    schedule.replace((0..1000).map(|id| (TargetId(id), any())).collect(), start);
    for _ in 0..1000 {
        let (due, _) = schedule.take_due(start).expect("all are due at once");
        schedule.finish(due);
    }
    let soon = start + INTERVAL * 9 / 10 + Duration::from_millis(40);
    let early = std::iter::from_fn(|| schedule.take_due(soon).map(|_| ())).count();
    assert!((20..=250).contains(&early), "a tenth of them in a tenth of the spread, got {early}");
}

#[tokio::test]
async fn results_name_their_target() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
    let open = listener.local_addr().expect("a bound listener has an address");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback has another");
    let (prober, mut results) = Prober::start();
    let interval = Duration::from_millis(100);
    prober.set(TargetId(1), target(open, interval));
    prober.set(TargetId(2), target(closed, interval));
    for _ in 0..6 {
        let (id, result) = results.recv().await.expect("the prober lives");
        let expected = if id == TargetId(1) { Outcome::Up } else { Outcome::Failed(FailureReason::Refused) };
        assert_eq!(result.outcome, expected, "{id:?}");
    }
    drop(prober);
    while results.recv().await.is_some() {}
}

#[tokio::test]
async fn a_probe_that_panics_is_a_failure_of_this_host_and_the_target_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
    let open = listener.local_addr().expect("a bound listener has an address");
    let (prober, mut results) = Prober::start();
    // No configuration has a limit of which no clock knows the end, and no probe can be made with it.
    let broken = Target { timeout: Duration::MAX, ..target(open, Duration::from_millis(100)) };
    prober.set(TargetId(1), broken);
    for _ in 0..2 {
        let next = timeout(Duration::from_secs(20), results.recv()).await;
        let (_, result) = next.expect("the target is asked again").expect("the prober lives");
        assert_eq!(result.outcome, Outcome::Failed(FailureReason::Panicked));
    }
    assert!(FailureReason::Panicked.is_local(), "no backend is judged by it");
    prober.set(TargetId(1), target(open, Duration::from_millis(100)));
    while results.recv().await.expect("the prober lives").1.outcome != Outcome::Up {}
}
