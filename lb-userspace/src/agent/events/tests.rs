//! The ring, and those who follow.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn news(number: u64) -> News {
    News::info(EventKind::Host, format!("number {number}"))
}

fn ring(count: u64) -> Ring {
    let mut ring = Ring::default();
    for number in 1..=count {
        ring.push(news(number), UNIX_EPOCH + Duration::from_millis(number));
    }
    ring
}

fn all_after(ring: &Ring, mut seen: u64) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let events = ring.after(&mut seen, UNIX_EPOCH);
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}

#[test]
fn events_are_numbered_and_have_their_time() {
    let ring = ring(3);
    let events = all_after(&ring, 0);
    let told: Vec<_> = events.iter().map(|event| (event.sequence, event.unix_ms)).collect();
    assert_eq!(told, [(1, 1), (2, 2), (3, 3)], "in their order");
    assert_eq!(all_after(&ring, 2).len(), 1, "only what is new");
    assert_eq!(all_after(&ring, 3), [], "nothing is told twice");
}

#[test]
fn a_thousand_are_kept_and_a_late_reader_is_told_what_it_missed() {
    let ring = ring(1234);
    let kept = all_after(&ring, ring.before_oldest());
    assert_eq!(kept.len(), KEPT, "the last thousand");
    assert_eq!((kept[0].sequence, kept[KEPT - 1].sequence), (235, 1234), "and no other");

    let late = all_after(&ring, 34);
    assert_eq!(late[0].kind, "missed");
    assert_eq!((late[0].count, late[0].sequence), (Some(200), 234), "{:?}", late[0]);
    assert_eq!(late[1].sequence, 235, "it goes on with the oldest that is kept");
    assert_eq!(late.len(), KEPT + 1);
}

#[tokio::test]
async fn whoever_follows_gets_what_is_kept_and_what_comes_until_the_log_is_closed() {
    let log = EventLog::default();
    log.tell(news(1));
    let mut follower = log.read(&EventFilter { follow: true });
    let mut reader = log.read(&EventFilter::default());
    let first = timeout(SOON, follower.recv()).await.expect("soon").expect("some").expect("good");
    assert_eq!(first[0].message, "number 1", "what was there");
    assert_eq!(timeout(SOON, reader.recv()).await.expect("soon").expect("some").expect("good"), first);
    assert!(timeout(SOON, reader.recv()).await.expect("soon").is_none(), "who does not follow is done");
    log.tell(news(2));
    let second = timeout(SOON, follower.recv()).await.expect("soon").expect("some").expect("good");
    assert_eq!(second[0].message, "number 2", "what came");
    log.tell(news(3));
    log.close();
    let last = timeout(SOON, follower.recv()).await.expect("soon").expect("some").expect("good");
    assert_eq!(last[0].message, "number 3", "the last one too");
    assert!(timeout(SOON, follower.recv()).await.expect("soon").is_none(), "then the end");
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nobody_and_learns_of_it() {
    let log = EventLog::default();
    log.tell(news(0));
    let mut slow = log.read(&EventFilter { follow: true });
    let first = timeout(SOON, slow.recv()).await.expect("soon").expect("some").expect("good");
    assert_eq!(first.len(), 1);
    // None of these waits for anybody.
    for number in 1..=3 * KEPT as u64 {
        log.tell(news(number));
    }
    log.close();
    let (mut told, mut missed) = (0, 0);
    while let Some(events) = timeout(SOON, slow.recv()).await.expect("soon") {
        for event in events.expect("good") {
            if event.kind == "missed" {
                missed += event.count.unwrap_or_default();
            } else {
                told += 1;
            }
        }
    }
    assert_eq!(told + missed, 3 * KEPT as u64, "each is told or counted");
    assert!(missed > 0, "{told} told, {missed} missed");
}
