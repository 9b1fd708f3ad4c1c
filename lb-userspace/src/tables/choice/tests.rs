//! What the data plane finds in its choice table.

use std::net::IpAddr;

use lb_common::limits::ROTATION_SLOTS;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

const KEY: [u64; 2] = [1, 2];
const POLICIES: [Policy; 2] = [Policy::Maglev, Policy::Spread];

/// The higher the id the lower the address, so that an order by id would be found out.
fn member(id: BackendId, weight: u16) -> Member {
    let [high, low] = (u16::MAX - id).to_be_bytes();
    Member { id, address: IpAddr::from([10, 0, high, low]), weight }
}

fn equal(count: BackendId) -> Vec<Member> {
    (1..=count).map(|id| member(id, 1)).collect()
}

fn slots(choice: &Choice) -> &[BackendId] {
    &choice.slots[..choice.slot_count as usize]
}

fn rotation(choice: &Choice) -> &[BackendId] {
    &choice.rotation[..choice.rotation_count as usize]
}

#[test]
fn nobody_is_zeros() {
    for policy in POLICIES {
        let choice = build(&[], policy, KEY);
        assert!(choice.as_bytes().iter().all(|byte| *byte == 0), "{policy} without members is not all zeros");
    }
}

#[test]
fn spread_goes_round_by_weight() {
    let cases: [(&[Member], &[BackendId]); 4] = [
        (&[member(1, 9)], &[1]),
        (&[member(3, 1), member(2, 1), member(1, 1)], &[3, 2, 1]),
        (&[member(1, 1), member(2, 2)], &[2, 1, 2]),
        (&[member(1, 50), member(2, 100), member(3, 150)], &[3, 2, 3, 1, 2, 3]),
    ];
    for (members, expected) in cases {
        assert_eq!(slots(&build(members, Policy::Spread, KEY)), expected, "the turn of {members:?}");
    }
}

#[test]
fn a_turn_that_does_not_fit_is_cut_off_in_proportion() {
    let members: Vec<Member> =
        (1..=1_000).map(|id| member(id, if id % 2 == 0 { 255 } else { 254 })).collect();
    let choice = build(&members, Policy::Spread, KEY);
    assert_eq!(slots(&choice).len(), MAGLEV_SLOTS);
    for id in 1..=1_000 {
        let count = slots(&choice).iter().filter(|slot| **slot == id).count();
        assert!(
            (65..=66).contains(&count),
            "backend {id} has {count} of {MAGLEV_SLOTS} turns, its share is 65.5"
        );
    }
}

#[test]
fn maglev_fills_the_whole_table() {
    let members = equal(3);
    let choice = build(&members, Policy::Maglev, KEY);
    let mut expected = build(&[], Policy::Maglev, KEY);
    maglev::fill(&members, KEY, &mut expected.slots);
    assert_eq!(slots(&choice), expected.slots);
}

#[test]
fn alternatives_are_the_first_backends_that_fit_by_address() {
    for policy in POLICIES {
        assert_eq!(rotation(&build(&[member(1, 200), member(2, 1)], policy, KEY)), [2, 1], "{policy}");
        let choice = build(&equal(300), policy, KEY);
        let expected: Vec<BackendId> = (1..=300).rev().take(ROTATION_SLOTS).collect();
        assert_eq!(rotation(&choice), expected, "{policy}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn two_balancers_choose_the_same(
        weights in prop::collection::vec(0..=255_u16, 0..40),
        spread in any::<bool>(),
        key in any::<[u64; 2]>(),
    ) {
        let policy = if spread { Policy::Spread } else { Policy::Maglev };
        let renamed = |id: BackendId| if id == 0 { 0 } else { 5_000 - id };
        let here: Vec<Member> = (1..).zip(&weights).map(|(id, weight)| member(id, *weight)).collect();
        let there: Vec<Member> =
            here.iter().rev().map(|member| Member { id: renamed(member.id), ..*member }).collect();
        let (mut here, there) = (build(&here, policy, key), build(&there, policy, key));
        for id in here.slots.iter_mut().chain(&mut here.rotation) {
            *id = renamed(*id);
        }
        prop_assert!(here == there, "only the names of the backends may differ");
    }
}
