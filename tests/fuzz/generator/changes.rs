//! Changes of the tables, as the agent, the operator, the collector and time make them.

use std::net::SocketAddr;

use crate::{
    model::{Condition, Model, Tier, Tuple, tables::Unfinished},
    program::TIERS,
    random::Random,
    rig::{
        seconds,
        setting::{CONTROLLERS, Family, SERVICES},
    },
    story::Change,
    world,
};

/// What a story begins with.
pub fn beginning(random: &mut Random, family: Family) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..random.below(3) {
        changes.push(choice(random, family));
    }
    if random.once_in(3) {
        changes.push(Change::Links([unfinished(random), unfinished(random)]));
    }
    if random.once_in(5) {
        changes.push(Change::Ports(1 + random.short() % 4));
    }
    if random.once_in(20) {
        changes.push(Change::Collected(seconds(3700)));
    }
    if random.once_in(8) {
        changes.push(backend(random, family));
    }
    if random.once_in(12) {
        changes.extend(crisis(random, family));
    }
    changes
}

/// Services have many backends, of which most are gone or cannot be reached.
fn crisis(random: &mut Random, family: Family) -> Vec<Change> {
    use Condition::{Absent, Active, Reset, Unresolved};
    let mut all: Vec<u16> = world::backends().iter().map(|backend| backend.id).collect();
    // As many as are tried, one more, and many more.
    all.truncate(random.pick(&[5, 8, 9, 12]));
    let mut changes = Vec::new();
    for id in &all {
        let condition = random.pick(&[Active, Unresolved, Unresolved, Reset, Absent]);
        changes.push(Change::Backend { ipv4: family == Family::V4, id: *id, condition });
    }
    for service in SERVICES {
        let service = service.id(family);
        changes.push(Change::Choice { service, slots: all.clone(), list: all.clone() });
    }
    changes
}

/// Any change.
pub fn any(random: &mut Random, family: Family, model: &Model) -> Change {
    let key = known_key(random, family, model);
    match (random.below(20), key) {
        (0..4, _) => backend(random, family),
        (4..6, _) => choice(random, family),
        (6, _) => {
            let at = SocketAddr::new(family.vip(), random.pick(&SERVICES).port());
            Change::Service { at, is_there: random.once_in(3) }
        }
        (7, _) => Change::Collected(random.pick(&[0, seconds(3590), seconds(3610), 0_u32.wrapping_sub(500)])),
        (8, _) => Change::Forgets(random.pick(&[10, 20, 100])),
        (9..13, Some((tier, key))) => {
            let ticks =
                [1, 40, 46, 61, 64, seconds(6), seconds(58), seconds(62), seconds(601), seconds(7201)];
            Change::Older { tier, key, both: !random.once_in(4), ticks: random.pick(&ticks) }
        }
        (13..15, Some((Tier::HalfOpen, key))) => Change::Overwritten(key),
        (15, Some((tier, key))) if !model.tier(tier)[&key].reverse => Change::Claimed { tier, key },
        (16 | 17, Some((tier, _))) => Change::Collect { tier, keys: keys(random, family, model, tier) },
        (_, Some((tier, _))) => Change::Reset { tier, keys: keys(random, family, model, tier) },
        (_, None) => backend(random, family),
    }
}

fn backend(random: &mut Random, family: Family) -> Change {
    use Condition::{Absent, Active, Reset, Unresolved};
    let condition = random.pick(&[Active, Active, Unresolved, Reset, Absent]);
    let backends = if random.once_in(4) { world::backends() } else { CONTROLLERS.to_vec() };
    Change::Backend { ipv4: family == Family::V4, id: random.pick(&backends).id, condition }
}

/// Some backends, of which some have more of the slots than others; or a list of others.
fn choice(random: &mut Random, family: Family) -> Change {
    let all = if random.once_in(4) { world::backends() } else { CONTROLLERS.to_vec() };
    let some = |random: &mut Random| -> Vec<u16> {
        let chosen = random.short() | random.short();
        all.iter().map(|controller| controller.id).filter(|id| chosen >> id & 1 == 1).collect()
    };
    let list = some(random);
    let mut slots = if random.once_in(4) { some(random) } else { list.clone() };
    for _ in 0..random.below(4) {
        if !slots.is_empty() {
            slots.push(random.pick(&slots));
        }
    }
    Change::Choice { service: random.pick(&SERVICES).id(family), slots, list }
}

fn unfinished(random: &mut Random) -> Unfinished {
    random.pick(&[Unfinished::Never, Unfinished::StayAsTheyAre, Unfinished::AreFinished])
}

/// The keys of a tier in an order that is the same in each run.
fn sorted(family: Family, model: &Model, tier: Tier) -> Vec<Tuple> {
    let is_of_family = |key: &&Tuple| key.0.is_ipv4() == (family == Family::V4);
    let mut keys: Vec<Tuple> = model.tier(tier).keys().filter(is_of_family).copied().collect();
    keys.sort_unstable();
    keys
}

fn known_key(random: &mut Random, family: Family, model: &Model) -> Option<(Tier, Tuple)> {
    let known: Vec<_> = TIERS
        .into_iter()
        .flat_map(|tier| sorted(family, model, tier).into_iter().map(move |key| (tier, key)))
        .collect();
    (!known.is_empty()).then(|| random.pick(&known))
}

fn keys(random: &mut Random, family: Family, model: &Model, tier: Tier) -> Vec<Tuple> {
    sorted(family, model, tier).into_iter().filter(|_| !random.once_in(3)).collect()
}
