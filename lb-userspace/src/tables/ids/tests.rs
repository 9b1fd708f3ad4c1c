//! An id has one owner, and an owner one id.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

fn address(last_byte: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last_byte])
}

fn acquire(ids: &mut BackendIds, name: &str, last_byte: u8) -> BackendId {
    ids.acquire(name, &[address(last_byte)]).expect("an id is free")
}

fn saved(id: BackendId, name: &str, last_byte: u8) -> Assignment {
    Assignment {
        id,
        name: name.to_owned(),
        addresses: vec![address(last_byte)],
        tombstone: false,
        cut: false,
    }
}

fn full() -> BackendIds {
    let all: Vec<Assignment> = (1..END).map(|id| saved(id, &format!("controller-{id}"), 1)).collect();
    all.try_into().expect("every id is given once")
}

#[test]
fn a_backend_keeps_its_id() {
    let mut ids = BackendIds::default();
    let (one, two) = (acquire(&mut ids, "one", 1), acquire(&mut ids, "two", 2));
    assert_eq!((one, two), (1, 2), "ids begin at 1, 0 is nobody");
    assert_eq!(acquire(&mut ids, "one", 1), one);
    assert_eq!(ids.get(two), Some(&saved(2, "two", 2)));
}

#[test]
fn another_address_is_another_backend() {
    let mut ids = BackendIds::default();
    assert_ne!(acquire(&mut ids, "one", 1), acquire(&mut ids, "one", 2));
}

#[test]
fn the_order_of_addresses_does_not_matter() {
    let mut ids = BackendIds::default();
    let v6: IpAddr = "fd00::1".parse().expect("an address");
    let one = ids.acquire("one", &[address(1), v6]).expect("an id is free");
    assert_eq!(ids.acquire("one", &[v6, address(1)]), Ok(one));
}

#[test]
fn a_removed_backend_that_returns_finds_its_id() {
    let mut ids = BackendIds::default();
    let (one, two) = (acquire(&mut ids, "one", 1), acquire(&mut ids, "two", 2));
    assert_eq!(ids.bury_all_but(&[two]), [one]);
    assert!(ids.bury_all_but(&[two]).is_empty(), "a tombstone is told once");
    assert_eq!(ids.tombstones().map(|tombstone| tombstone.id).collect::<Vec<_>>(), [one]);
    assert_eq!(acquire(&mut ids, "one", 1), one);
    assert_eq!(ids.tombstones().count(), 0, "it lives again");
}

#[test]
fn only_the_id_of_a_tombstone_is_released() {
    let mut ids = BackendIds::default();
    let one = acquire(&mut ids, "one", 1);
    assert_eq!(ids.release(one), None, "it lives");
    ids.bury_all_but(&[]);
    assert_eq!(ids.release(one).map(|released| released.name).as_deref(), Some("one"));
    assert_eq!(ids.release(one), None, "it is free already");
}

#[test]
fn only_a_tombstone_is_cut_and_one_that_returns_is_whole() {
    let mut ids = BackendIds::default();
    let one = acquire(&mut ids, "one", 1);
    let is_cut = |ids: &BackendIds| ids.get(one).is_some_and(|assignment| assignment.cut);
    ids.cut(one);
    assert!(!is_cut(&ids), "it lives");
    ids.bury_all_but(&[]);
    ids.cut(one);
    assert!(is_cut(&ids), "it is removed");
    let saved = serde_json::to_string(&ids).expect("ids can be saved");
    let restored: BackendIds = serde_json::from_str(&saved).expect("what was saved can be restored");
    assert!(is_cut(&restored), "the next agent knows");
    acquire(&mut ids, "one", 1);
    assert!(!is_cut(&ids), "it lives again, and so do its flows");
}

#[test]
fn ids_of_an_agent_that_did_not_remember_cuts_are_read() {
    let saved = r#"[{"id": 7, "name": "one", "addresses": ["10.0.0.1"], "tombstone": true}]"#;
    let ids: BackendIds = serde_json::from_str(saved).expect("the older form can be restored");
    assert!(ids.get(7).is_some_and(|assignment| assignment.tombstone && !assignment.cut));
}

#[test]
fn a_released_id_rests_while_others_are_free() {
    let mut ids = BackendIds::default();
    let one = acquire(&mut ids, "one", 1);
    ids.bury_all_but(&[]);
    ids.release(one);
    assert_ne!(acquire(&mut ids, "two", 2), one, "a late packet must not find a stranger");
}

#[test]
fn out_of_ids_is_a_sentence() {
    let mut ids = full();
    let alive: Vec<BackendId> = (3..END).collect();
    ids.bury_all_but(&alive);
    let refused = ids.acquire("late", &[address(2)]).expect_err("all ids are taken");
    assert_eq!(
        refused.to_string(),
        "cannot add backend late: all 4095 backend ids are taken, 2 of them by removed backends whose flows have not \
         ended; wait for these or end them with `xdplb flows reset --backend NAME`"
    );
    ids.release(2);
    assert_eq!(acquire(&mut ids, "late", 2), 2, "the one that is free is found");
}

#[test]
fn a_wrong_list_is_refused() {
    let cases = [
        (vec![saved(0, "one", 1)], "one has the id 0, which is not in 1..4096"),
        (vec![saved(4096, "one", 1)], "one has the id 4096, which is not in 1..4096"),
        (vec![saved(7, "one", 1), saved(7, "two", 2)], "one and two both have the id 7"),
        (vec![saved(7, "one", 1), saved(8, "one", 1)], "one has the ids 7 and 8"),
    ];
    for (list, reason) in cases {
        let refused = BackendIds::try_from(list).expect_err("the list is wrong").to_string();
        assert!(refused.contains(reason), "{refused:?} does not say {reason:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Acquire(u8, u8),
    Keep(HashSet<BackendId>),
    Release(BackendId),
    TakeOver,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 0..3_u8).prop_map(|(name, address)| Step::Acquire(name, address)),
        1 => prop::collection::hash_set(1..20_u16, 0..20).prop_map(Step::Keep),
        2 => (1..20_u16).prop_map(Step::Release),
        1 => Just(Step::TakeOver),
    ]
}

proptest! {
    #[test]
    fn an_id_belongs_to_one_backend_until_it_is_released(steps in prop::collection::vec(any_step(), 0..100)) {
        let mut ids = BackendIds::default();
        // Who was given which id, until a release.
        let mut owners: HashMap<BackendId, (u8, u8)> = HashMap::new();
        for step in steps {
            match step {
                Step::Acquire(name, last_byte) => {
                    let id = acquire(&mut ids, &name.to_string(), last_byte);
                    prop_assert!((1..END).contains(&id));
                    let owner = *owners.entry(id).or_insert((name, last_byte));
                    prop_assert_eq!(owner, (name, last_byte), "the id {} is another's", id);
                    let others = owners.values().filter(|owner| **owner == (name, last_byte)).count();
                    prop_assert_eq!(others, 1, "a backend has one id");
                }
                Step::Keep(alive) => {
                    let alive: Vec<BackendId> = alive.into_iter().collect();
                    for buried in ids.bury_all_but(&alive) {
                        prop_assert!(!alive.contains(&buried));
                    }
                }
                Step::Release(id) => {
                    let tombstone = ids.get(id).is_some_and(|assignment| assignment.tombstone);
                    prop_assert_eq!(ids.release(id).is_some(), tombstone);
                    if tombstone {
                        owners.remove(&id);
                    }
                }
                Step::TakeOver => {
                    let text = serde_json::to_string(&ids).expect("ids can be saved");
                    let restored: BackendIds = serde_json::from_str(&text).expect("what was saved can be restored");
                    prop_assert!(restored.iter().eq(ids.iter()));
                    ids = restored;
                }
            }
            let held: HashSet<BackendId> = ids.iter().map(|assignment| assignment.id).collect();
            prop_assert_eq!(held, owners.keys().copied().collect::<HashSet<_>>());
        }
    }
}
