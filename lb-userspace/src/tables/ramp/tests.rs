//! How weights grow.

use std::net::IpAddr;

use lb_common::abi::{BackendId, Choice};
use proptest::prelude::*;

use super::*;
use crate::{config::Policy, tables::choice};

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const DURATION: Duration = Duration::from_secs(30);

fn member(id: BackendId, weight: u16) -> Member {
    let [high, low] = id.to_be_bytes();
    Member { id, address: IpAddr::from([10, 0, high, low]), weight }
}

/// Members of weight 1 that came back so many seconds after the beginning, or were never down.
fn three(began: Instant, returned: [Option<u64>; 3]) -> Vec<Returning> {
    let since = |after: u64| began + Duration::from_secs(after);
    (1..)
        .zip(returned)
        .map(|(id, after)| Returning { member: member(id, 1), since: after.map(since) })
        .collect()
}

/// A story, when the members came back, how many seconds after the beginning it is, and their steps.
type Case = (&'static str, [Option<u64>; 3], u64, [u16; 3]);

#[test]
fn the_table_of_steps_holds() {
    let began = Instant::now();
    let cases: [Case; 10] = [
        ("nobody was down", [None, None, None], 0, [10, 10, 10]),
        ("the first step is there from the beginning", [None, None, Some(0)], 0, [10, 10, 1]),
        ("still the first", [None, None, Some(0)], 2, [10, 10, 1]),
        ("then the second", [None, None, Some(0)], 3, [10, 10, 2]),
        ("half the time, half the way", [None, None, Some(0)], 15, [10, 10, 6]),
        ("the whole", [None, None, Some(0)], 30, [10, 10, 10]),
        ("two at once, beside one that is warm", [None, Some(0), Some(6)], 9, [10, 4, 2]),
        ("all came back together: nobody waits for nobody", [Some(0), Some(0), Some(0)], 0, [10, 10, 10]),
        ("the first to come back carries the others", [Some(0), Some(5), Some(10)], 10, [10, 6, 1]),
        ("and warms up as they do", [Some(0), Some(5), Some(10)], 30, [10, 9, 7]),
    ];
    for (story, returned, seconds, expected) in cases {
        let now = began + Duration::from_secs(seconds);
        assert_eq!(steps(&three(began, returned), DURATION, now), expected, "{story}");
    }
}

#[test]
fn without_a_slow_start_all_have_their_weight_at_once() {
    let now = Instant::now();
    let all = three(now, [None, Some(0), None]);
    assert_eq!(members(&all, Duration::ZERO, now), [member(1, 1), member(2, 1), member(3, 1)]);
}

#[test]
fn weights_of_all_are_scaled_and_in_the_end_as_they_were() {
    let now = Instant::now();
    let all = [
        Returning { member: member(1, 255), since: None },
        Returning { member: member(2, 3), since: Some(now) },
    ];
    assert_eq!(members(&all, DURATION, now), [member(1, 2550), member(2, 3)]);
    assert_eq!(members(&all, DURATION, now + DURATION), [member(1, 255), member(2, 3)]);
}

fn table(members: &[Member]) -> Box<Choice> {
    choice::build(members, Policy::Maglev, KEY)
}

#[test]
fn a_step_moves_slots_to_who_came_back_and_few_between_the_others() {
    let began = Instant::now();
    let all = three(began, [None, None, Some(0)]);
    let mut before = table(&members(&all[..2], DURATION, began));
    for step in 0..=u32::from(STEPS) {
        let after = table(&members(&all, DURATION, began + DURATION * step / u32::from(STEPS)));
        let pairs = || before.slots.iter().zip(&after.slots);
        let between_others = pairs().filter(|(old, new)| old != new && **new != 3).count();
        let share = after.slots.iter().filter(|id| **id == 3).count();
        // With this key 13 at most, of 65,537.
        assert!(
            between_others * 200 < after.slots.len(),
            "step {step} moved {between_others} between others"
        );
        let weight = usize::from((u16::try_from(step).expect("a step") + 1).min(STEPS));
        let exact = after.slots.len() * weight / (2 * usize::from(STEPS) + weight);
        assert!(share.abs_diff(exact) <= 3, "{share} slots on step {step}, not {exact}");
        before = after;
    }
    let full: Vec<Member> = all.iter().map(|returning| returning.member).collect();
    assert!(before.slots == table(&full).slots, "the last table is that of a service that never lost one");
}

/// Members with weights, and milliseconds after the beginning at which some of them came back.
fn any_members() -> impl Strategy<Value = Vec<(u16, Option<u64>)>> {
    prop::collection::vec((1..=255_u16, prop::option::of(0..20_000_u64)), 1..12)
}

fn returning(began: Instant, drawn: &[(u16, Option<u64>)]) -> Vec<Returning> {
    let since = |after: u64| began + Duration::from_millis(after);
    (1..)
        .zip(drawn)
        .map(|(id, (weight, after))| Returning { member: member(id, *weight), since: after.map(since) })
        .collect()
}

proptest! {
    #[test]
    fn no_step_goes_back_and_the_last_is_the_end(drawn in any_members(), pauses in prop::collection::vec(1..4_000_u64, 1..30)) {
        let began = Instant::now();
        let all = returning(began, &drawn);
        let mut now = began + Duration::from_secs(20);
        let mut before = steps(&all, DURATION, now);
        for pause in pauses {
            now += Duration::from_millis(pause);
            let after = steps(&all, DURATION, now);
            for (old, new) in before.iter().zip(&after) {
                prop_assert!(old <= new, "{before:?} became {after:?}");
            }
            before = after;
        }
        now += DURATION;
        let full: Vec<Member> = all.iter().map(|returning| returning.member).collect();
        prop_assert_eq!(members(&all, DURATION, now), full);
    }

    #[test]
    fn somebody_always_has_the_whole_and_everybody_something(drawn in any_members(), passed in 0..60_000_u64) {
        let began = Instant::now();
        let steps = steps(&returning(began, &drawn), DURATION, began + Duration::from_millis(passed));
        prop_assert!(steps.iter().all(|step| (1..=STEPS).contains(step)), "{steps:?}");
        prop_assert!(steps.contains(&STEPS), "{steps:?}");
    }
}
