//! How even the table is, and how little of it moves.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

type Table = Box<[BackendId; MAGLEV_SLOTS]>;

fn table(members: &[Member], key: [u64; 2]) -> Table {
    // Not empty before: what was in it must not matter.
    let mut slots: Table = vec![9; MAGLEV_SLOTS].try_into().expect("a table has as many slots as it has");
    fill(members, key, &mut slots);
    slots
}

fn member(id: BackendId, weight: u16) -> Member {
    let [high, low] = id.to_be_bytes();
    Member { id, address: IpAddr::from([10, 0, high, low]), weight }
}

fn equal(count: BackendId) -> Vec<Member> {
    (1..=count).map(|id| member(id, 1)).collect()
}

fn slots_of(table: &Table, id: BackendId) -> usize {
    table.iter().filter(|owner| **owner == id).count()
}

/// Slots that changed their owner although it stayed, in millionths of the table.
fn disruption(before: &Table, after: &Table, leaver: BackendId) -> usize {
    let moved = before.iter().zip(after.iter()).filter(|(old, new)| **old != leaver && old != new).count();
    moved * 1_000_000 / MAGLEV_SLOTS
}

#[test]
fn equal_backends_have_equal_shares_but_for_one_slot() {
    // They take turns round, one slot a turn: the last round alone is incomplete. This is 1 in 21,846 slots of each of
    // three, and 0.15 % of the share of each of 100.
    for count in [1, 3, 5, 100, 1_000] {
        let table = table(&equal(count), KEY);
        let share = MAGLEV_SLOTS / usize::from(count);
        for id in 1..=count {
            let slots = slots_of(&table, id);
            assert!(
                (share..=share + 1).contains(&slots),
                "one of {count} has {slots} slots of {MAGLEV_SLOTS}"
            );
        }
    }
}

#[test]
fn few_connections_move_when_another_backend_leaves() {
    // About a tenth above the worst of these keys and leavers. Over 1,000 drawings of key and leaver and more, the
    // median was 0.015 % of the table for three, 0.08 % for five, 0.56 % for 100. Of 12,000 drawings with three to five,
    // 18 moved more than 1 % and two more than 5 % (16 % the worst): there two backends had the same skip, so that one
    // walks in the other's steps. Keys drawn anew in each run would find such a one some day, so these are fixed.
    let cases: [(&[u16], usize); 5] = [
        (&[1; 3], 490),
        (&[1; 5], 1_900),
        (&[1; 100], 6_900),
        (&[3, 2, 1], 640),
        (&[255, 128, 64, 32, 1], 870),
    ];
    for (weights, bound) in cases {
        let members: Vec<Member> = (1..).zip(weights).map(|(id, weight)| member(id, *weight)).collect();
        let keys = (0..4).map(|nibble| [KEY[0], KEY[1] ^ nibble]);
        let worst = keys.map(|key| worst_disruption(&members, key)).max().unwrap_or(0);
        assert!(worst <= bound, "{worst} millionths of the table move with weights {weights:?}, not {bound}");
    }
}

/// The disruption when one of the first five leaves, whichever moves most.
fn worst_disruption(members: &[Member], key: [u64; 2]) -> usize {
    let before = table(members, key);
    let without = |leaver: &Member| -> Vec<Member> {
        members.iter().filter(|member| member.id != leaver.id).copied().collect()
    };
    let disruptions =
        members.iter().take(5).map(|leaver| disruption(&before, &table(&without(leaver), key), leaver.id));
    disruptions.max().unwrap_or(0)
}

#[test]
fn nobody_owns_the_slots_of_a_service_without_backends() {
    assert!(table(&[], KEY).iter().all(|owner| *owner == 0), "an empty service has an empty table");
}

#[test]
fn another_key_gives_another_table() {
    let (one, other) = (table(&equal(3), KEY), table(&equal(3), [KEY[0], KEY[1] ^ 1]));
    let same = one.iter().zip(other.iter()).filter(|(one, other)| one == other).count();
    let third = MAGLEV_SLOTS / 3;
    assert!(same.abs_diff(third) < MAGLEV_SLOTS / 50, "{same} slots agree, chance alone gives {third}");
}

#[test]
fn both_families_have_tables() {
    let of = |id: u16| Member { id, address: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, id).into(), weight: 1 };
    let table = table(&[of(1), of(2), of(3)], KEY);
    assert_eq!([1, 2, 3].map(|id| slots_of(&table, id)).iter().sum::<usize>(), MAGLEV_SLOTS);
}

#[test]
fn the_table_of_a_release_is_the_table_of_the_next() {
    // Balancers of two releases stand side by side during an upgrade. A change here breaks the connections that one
    // adopts from the other: it must be meant, and told.
    let table = table(&[member(1, 1), member(2, 2), member(3, 3)], KEY);
    let digest =
        table.iter().fold(FlowHasher::new([0; 2]), |hasher, id| hasher.word(u64::from(*id))).finish();
    assert_eq!(digest, 313_325_905_437_132_810, "the table has changed");
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(1..=255_u16, 1..=100)
        .prop_map(|weights| (1..).zip(weights).map(|(id, weight)| member(id, weight)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn weights_are_the_shares(members in any_members(), key in any::<[u64; 2]>()) {
        let table = table(&members, key);
        let total: usize = members.iter().map(|member| usize::from(member.weight)).sum();
        for member in &members {
            let exact = MAGLEV_SLOTS * usize::from(member.weight) / total;
            let slots = slots_of(&table, member.id);
            // 2 %, or one slot where that is less than one: the share of 1 : 25,000 is 2.6 slots.
            prop_assert!(slots.abs_diff(exact) <= 1 + exact / 50, "{slots} slots where {exact} are its share");
        }
    }

    #[test]
    fn neither_order_nor_ids_matter(members in any_members().prop_shuffle(), key in any::<[u64; 2]>()) {
        let here = table(&members, key);
        let renamed = |id: BackendId| 4_000 - id;
        let there: Vec<Member> =
            members.iter().rev().map(|member| Member { id: renamed(member.id), ..*member }).collect();
        let there = table(&there, key);
        let same = here.iter().zip(there.iter()).all(|(here, there)| renamed(*here) == *there);
        prop_assert!(same, "two balancers must send a connection to the same backend");
    }
}
