//! The table of cases: who takes new connections.

use std::net::IpAddr;

use AdminState::{Disabled, Draining, Enabled};
use Health::{Down, NotReady, Opaque, Unverified, Up};
use Standing::{Good, LastGood, NotReady as NoneReady, Refusing};

use super::*;
use crate::tables::Member;

fn candidate(id: BackendId, health: Health, admin: AdminState) -> Candidate {
    let address = IpAddr::from([10, 0, 0, u8::try_from(id).expect("few")]);
    let member = Member { id, address, weight: 1 };
    Candidate { returning: Returning { member, since: None }, admin, health, went_down_lately: false }
}

fn candidates(backends: &[(Health, AdminState)]) -> Vec<Candidate> {
    (1..).zip(backends).map(|(id, (health, admin))| candidate(id, *health, *admin)).collect()
}

fn ids(members: &[Returning]) -> Vec<BackendId> {
    members.iter().map(|returning| returning.member.id).collect()
}

/// A story, the backends, which of them were good last, and then who takes new connections and how the service stands:
/// with `fail_open`, and without.
type Case = (
    &'static str,
    &'static [(Health, AdminState)],
    &'static [BackendId],
    (&'static [BackendId], Standing),
    (&'static [BackendId], Standing),
);

const CASES: &[Case] = &[
    ("all up", &[(Up, Enabled), (Up, Enabled)], &[], (&[1, 2], Good), (&[1, 2], Good)),
    (
        "before the first probe",
        &[(Unverified, Enabled), (Unverified, Enabled)],
        &[],
        (&[1, 2], Good),
        (&[1, 2], Good),
    ),
    (
        "every kind that may be in use",
        &[(Up, Enabled), (Opaque, Enabled), (Unverified, Enabled), (NotReady, Enabled), (Down, Enabled)],
        &[4, 5],
        (&[1, 2, 3], Good),
        (&[1, 2, 3], Good),
    ),
    ("one opaque is enough", &[(Down, Enabled), (Opaque, Enabled)], &[1], (&[2], Good), (&[2], Good)),
    (
        "draining and disabled never do",
        &[(Up, Draining), (Up, Disabled), (Up, Enabled)],
        &[],
        (&[3], Good),
        (&[3], Good),
    ),
    (
        "an enabled one that is not ready, rather than a draining one that is up",
        &[(Up, Draining), (NotReady, Enabled)],
        &[1],
        (&[2], NoneReady),
        (&[2], NoneReady),
    ),
    (
        "all not ready",
        &[(NotReady, Enabled), (NotReady, Enabled)],
        &[],
        (&[1, 2], NoneReady),
        (&[1, 2], NoneReady),
    ),
    (
        "those that are not ready, not those that were good last",
        &[(NotReady, Enabled), (Down, Enabled), (Down, Enabled)],
        &[2, 3],
        (&[1], NoneReady),
        (&[1], NoneReady),
    ),
    (
        "not ready, but drained: nobody answers for it",
        &[(NotReady, Draining), (Down, Enabled)],
        &[1, 2],
        (&[2], LastGood),
        (&[], Refusing),
    ),
    ("all down, two were good", &[(Down, Enabled); 3], &[1, 3], (&[1, 3], LastGood), (&[], Refusing)),
    ("all down, none ever was good", &[(Down, Enabled); 2], &[], (&[1, 2], LastGood), (&[], Refusing)),
    (
        "who was good last is drained by now",
        &[(Down, Draining), (Down, Enabled), (Down, Enabled)],
        &[1, 2],
        (&[2], LastGood),
        (&[], Refusing),
    ),
    (
        "all that were good last are out on purpose by now",
        &[(Down, Draining), (Down, Disabled), (Down, Enabled)],
        &[1, 2],
        (&[3], LastGood),
        (&[], Refusing),
    ),
    ("who was good last is removed by now", &[(Down, Enabled)], &[7], (&[1], LastGood), (&[], Refusing)),
    ("all drained", &[(Up, Draining), (Down, Draining)], &[1, 2], (&[], Good), (&[], Good)),
    ("all disabled", &[(Up, Disabled), (NotReady, Disabled)], &[1], (&[], Good), (&[], Good)),
    ("no backend", &[], &[1], (&[], Good), (&[], Good)),
];

#[test]
fn the_table_of_cases_holds() {
    for (story, backends, last_good, open, closed) in CASES {
        for (fail_open, expected) in [(true, open), (false, closed)] {
            let mut remembered = last_good.to_vec();
            let (members, standing) = choose(&candidates(backends), &mut remembered, fail_open);
            assert_eq!((&*ids(&members), standing), *expected, "{story}, fail_open = {fail_open}");
        }
    }
}

#[test]
fn whoever_is_chosen_is_enabled_and_somebody_is_while_one_may() {
    const HEALTHS: [Health; 5] = [Unverified, Up, Opaque, NotReady, Down];
    const STATES: [AdminState; 3] = [Enabled, Draining, Disabled];
    let each: Vec<(Health, AdminState)> =
        HEALTHS.iter().flat_map(|health| STATES.map(|admin| (*health, admin))).collect();
    for &first in &each {
        for &second in &each {
            for (last_good, fail_open) in [(vec![], true), (vec![1, 2], true), (vec![2], false)] {
                let all = candidates(&[first, second]);
                let (members, standing) = choose(&all, &mut last_good.clone(), fail_open);
                let story =
                    format!("{first:?}, {second:?}, {last_good:?} were good last, fail_open = {fail_open}");
                let chosen = ids(&members);
                let is_enabled = |id: &BackendId| all[usize::from(*id) - 1].admin == Enabled;
                assert!(chosen.iter().all(is_enabled), "{story}: {chosen:?}");
                let some_enabled = all.iter().any(|candidate| candidate.admin == Enabled);
                let refuses = standing == Refusing || !some_enabled;
                assert_eq!(chosen.is_empty(), refuses, "{story}: {chosen:?}, {standing:?}");
                assert!(!fail_open || standing != Refusing, "{story}: {standing:?}");
            }
        }
    }
}

#[test]
fn the_last_good_ones_are_those_before_the_first_of_them_went_down() {
    let mut last_good = Vec::new();
    let mut all = candidates(&[(Up, Enabled), (Up, Enabled), (Up, Enabled)]);
    choose(&all, &mut last_good, true);
    assert_eq!(last_good, [1, 2, 3]);
    (all[0].health, all[0].went_down_lately) = (Down, true);
    choose(&all, &mut last_good, true);
    assert_eq!(last_good, [2, 3, 1], "it may be the first of all");
    (all[1].health, all[2].health) = (Down, Down);
    let (members, _) = choose(&all, &mut last_good, true);
    assert_eq!(ids(&members), [1, 2, 3], "and it was");

    all[0].went_down_lately = false;
    (all[1].health, all[2].health) = (Up, Up);
    choose(&all, &mut last_good, true);
    assert_eq!(last_good, [2, 3], "it went down alone, and long ago");
}

#[test]
fn a_change_of_weight_does_not_make_a_backend_another() {
    let mut last_good = vec![1];
    let mut all = candidates(&[(Down, Enabled), (Down, Enabled)]);
    all[0].returning.member.weight = 7;
    let (members, _) = choose(&all, &mut last_good, true);
    assert_eq!(members, [all[0].returning], "with its present weight");
}

#[test]
fn only_what_changes_is_told() {
    let standings = |entries: &[(&str, Standing)]| -> Standings {
        entries.iter().map(|(name, standing)| ((*name).to_owned(), *standing)).collect()
    };
    let before =
        standings(&[("api", LastGood), ("join", NoneReady), ("agent", Refusing), ("gone", LastGood)]);
    let after = standings(&[("api", LastGood), ("join", LastGood), ("agent", Good), ("new", Refusing)]);
    let told: Vec<(&str, Standing)> =
        changes(&before, &after).map(|(name, standing)| (name.as_str(), standing)).collect();
    assert_eq!(told, [("gone", Good), ("agent", Good), ("join", LastGood), ("new", Refusing)]);
}
