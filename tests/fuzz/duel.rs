//! One story through the program and the model, step by step; the first difference ends it.

use std::collections::HashSet;

use lb_common::{counters::Counter, tcp::State};

use crate::{
    coverage::Coverage,
    invariants,
    model::{Arrival, Effects, Model, Outcome, Tables, Tier, Tuple},
    program::{Program, Ran},
    report,
    rig::{Verdict, key_bytes},
    stored::Stored,
    story::{Change, Step},
    world,
};

/// What differs, told in words.
pub type Difference = String;

/// The two sides.
pub struct Duel<'a> {
    program: Program<'a>,
    model: Model,
    /// The tables of the beginning.
    beginning: Tables,
    /// The interfaces that frames come by.
    interfaces: [u32; 3],
    /// Halves of pairs whose other half a step took away.
    halves: HashSet<Tuple>,
    /// What has been reached so far.
    pub coverage: Coverage,
}

impl<'a> Duel<'a> {
    /// Both with the tables of the setting.
    pub fn new(mut program: Program<'a>, beginning: Tables, interfaces: [u32; 3]) -> Self {
        for (service, choice) in &beginning.choices {
            program.set_choice(*service, &choice.slots, &choice.list);
        }
        for (key, backend) in &beginning.backends {
            program.set_backend(key.0, key.1, backend.condition);
        }
        for at in &beginning.endpoints {
            program.add_endpoint(*at);
        }
        let model = Model::new(beginning.clone());
        Self { program, model, beginning, interfaces, halves: HashSet::new(), coverage: Coverage::default() }
    }

    /// What is known now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Both as they were in the beginning.
    pub fn begin(&mut self) {
        self.program.forget(self.model.turns.keys().copied());
        let (now, then) = (&self.beginning, &self.model.tables);
        for (key, backend) in &now.backends {
            if backend.condition != then.backends[key].condition {
                self.program.set_backend(key.0, key.1, backend.condition);
            }
        }
        for (service, choice) in &now.choices {
            if *choice != then.choices[service] {
                self.program.set_choice(*service, &choice.slots, &choice.list);
            }
        }
        for (at, service) in &now.services {
            if !then.services.contains_key(at) {
                self.program.set_service(*at, Some(service));
            }
        }
        let unfinished = |tables: &Tables| [tables.links[0].unfinished, tables.links[1].unfinished];
        if unfinished(now) != unfinished(then) {
            self.program.set_links(unfinished(now));
        }
        if now.snat_ports != then.snat_ports {
            self.program.set_ports(now.snat_ports.count);
        }
        self.model = Model::new(self.beginning.clone());
        self.halves.clear();
        self.change(&Change::Collected(0)).expect("nothing is compared");
    }

    /// One step of the story.
    pub fn step(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Frame { interface, bytes, .. } => self.frame(self.interfaces[*interface], bytes),
            Step::Change(change) => self.change(change),
        }
    }

    /// A frame through both.
    fn frame(&mut self, interface: u32, frame: &[u8]) -> Result<(), Difference> {
        let before = world::now();
        let ran = self.program.run(frame, interface);
        let after = world::now();
        self.coverage.note(&ran);
        invariants::of_frame(frame, &ran)?;
        let arrival = Arrival { frame, interface };
        self.agrees(before, after, |duel, tick| {
            let (outcome, effects) = duel.model.arrives(arrival, tick);
            duel.compare(interface, &ran, &outcome, &effects)
        })
    }

    /// Lets the model do something at the tick at which the program did it, which is one of these.
    fn agrees(
        &mut self,
        first: u32,
        last: u32,
        mut something: impl FnMut(&mut Self, u32) -> Result<(), Difference>,
    ) -> Result<(), Difference> {
        for tick in first..last {
            let kept = self.model.clone();
            if something(self, tick).is_ok() {
                return Ok(());
            }
            self.model = kept;
        }
        something(self, last)
    }

    fn compare(
        &mut self,
        interface: u32,
        ran: &Ran,
        outcome: &Outcome,
        effects: &Effects,
    ) -> Result<(), Difference> {
        let of_link = |link: u8| self.model.tables.link(link).is_some_and(|link| link.interface == interface);
        let (verdict, output) = match outcome {
            Outcome::Passed(_) => (Verdict::Pass, None),
            Outcome::Dropped(_) => (Verdict::Drop, None),
            Outcome::Sent { link, frame } if of_link(*link) => (Verdict::Transmit, Some(frame)),
            Outcome::Sent { frame, .. } => (Verdict::Redirect, Some(frame)),
            Outcome::Answered { frame, .. } => (Verdict::Transmit, Some(frame)),
        };
        let mut counted = effects.counted.clone();
        counted.sort_by_key(|counter| *counter as u32);
        let names = |counters: &[Counter]| counters.iter().map(|counter| counter.name()).collect::<Vec<_>>();
        differs(
            "the verdict and the counters",
            &(verdict, names(&counted)),
            &(ran.verdict, names(&ran.counted)),
        )?;
        if let Some(output) = output
            && *output != ran.output
        {
            return Err(report::frames(output, &ran.output));
        }
        let closed: Vec<_> = effects.closed.iter().map(|key| key_bytes(*key)).collect();
        differs("the keys that are told as closed", &closed, &ran.closed)?;
        differs("what is told of backends", &effects.told, &ran.told)?;
        self.compare_entries(effects.touched.iter().copied())
    }

    fn compare_entries(&mut self, keys: impl Iterator<Item = (Tier, Tuple)>) -> Result<(), Difference> {
        for (tier, key) in keys {
            let expected = self.model.tier(tier).get(&key).map(|entry| Stored::of(entry, tier));
            let came = self.program.entry(tier, key);
            if expected != came {
                return Err(report::entries((tier, key), expected, came));
            }
        }
        Ok(())
    }

    /// At the end of a story: every entry of both sides, and what must hold of all of them.
    pub fn end(&mut self) -> Result<(), Difference> {
        let mut keys = self.program.keys();
        for tier in crate::program::TIERS {
            keys.extend(self.model.tier(tier).keys().map(|key| (tier, *key)));
        }
        self.compare_entries(keys.into_iter())?;
        invariants::of_tables(&self.model, &self.halves)
    }

    /// A change of both sides' tables.
    fn change(&mut self, change: &Change) -> Result<(), Difference> {
        let tables = &mut self.model.tables;
        match change {
            Change::Backend { ipv4, id, condition } => {
                self.program.set_backend(*ipv4, *id, *condition);
                tables.backends.get_mut(&(*ipv4, *id)).expect("it is one of these").condition = *condition;
            }
            Change::Choice { service, slots, list } => {
                self.program.set_choice(*service, slots, list);
                let choice = tables.choices.get_mut(service).expect("every service has one");
                (choice.slots, choice.list) = (slots.clone(), list.clone());
            }
            Change::Service { at, is_there } => {
                let service = is_there.then(|| self.beginning.services[at].clone());
                if tables.services.contains_key(at) != *is_there {
                    self.program.set_service(*at, service.as_ref());
                }
                match service {
                    Some(service) => tables.services.insert(*at, service),
                    None => tables.services.remove(at),
                };
            }
            Change::Links(links) => {
                self.program.set_links(*links);
                for (link, unfinished) in tables.links.iter_mut().zip(links) {
                    link.unfinished = *unfinished;
                }
            }
            Change::Ports(count) => {
                self.program.set_ports(*count);
                tables.snat_ports.count = *count;
            }
            Change::Collected(ticks) => {
                tables.collected = world::now().wrapping_sub(*ticks);
                self.program.set_collected(tables.collected);
            }
            Change::Older { tier, key, both, ticks } => self.make_older(*tier, *key, *both, *ticks),
            Change::Overwritten(key) => self.overwrite(*key),
            Change::Claimed { tier, key } => self.claim(*tier, *key),
            Change::Forgets(ticks) => self.forget(*ticks),
            Change::Collect { tier, keys } => return self.collect(*tier, keys),
            Change::Reset { tier, keys } => return self.reset(*tier, keys),
        }
        Ok(())
    }

    /// Both entries of a pair, where they are there.
    fn pair(&self, tier: Tier, key: Tuple) -> Vec<Tuple> {
        let twin = self.model.twin_of(tier, key);
        std::iter::once(key).chain(twin).filter(|key| self.model.tier(tier).contains_key(key)).collect()
    }

    fn make_older(&mut self, tier: Tier, key: Tuple, both: bool, ticks: u32) {
        for key in self.pair(tier, key).into_iter().take(if both { 2 } else { 1 }) {
            let entry = self.model.entry_mut(tier, key).expect("it was found");
            entry.last_seen = entry.last_seen.wrapping_sub(ticks);
            let last_seen = entry.last_seen;
            self.program.edit(tier, key, |meta| meta.last_seen = last_seen);
        }
    }

    fn overwrite(&mut self, key: Tuple) {
        let twin = self.model.twin_of(Tier::HalfOpen, key);
        if self.model.remove(Tier::HalfOpen, key).is_some() {
            self.program.remove(Tier::HalfOpen, key);
            self.halves.extend(twin);
        }
    }

    /// The lock of a pair is its forward entry.
    fn claim(&mut self, tier: Tier, key: Tuple) {
        if self.model.tier(tier).contains_key(&key) {
            let entry = self.model.entry_mut(tier, key).expect("it was found");
            entry.state = State::Dead;
            let state = Stored::of(entry, tier).meta.state;
            self.program.edit(tier, key, |meta| meta.state = state);
            self.halves.insert(key);
        }
    }

    fn forget(&mut self, ticks: u32) {
        for (key, memory) in &mut self.model.memories {
            memory.told = memory.told.map(|told| told.map(|told| told.wrapping_sub(ticks)));
            self.program.set_memory(*key, memory);
        }
    }

    fn collect(&mut self, tier: Tier, keys: &[Tuple]) -> Result<(), Difference> {
        let before = world::now();
        let came = self.program.collect(tier, keys);
        self.agrees(before, world::now(), |duel, tick| {
            let (expected, effects) = duel.model.collect(tier, keys, tick);
            differs("how many pairs are collected", &expected, &came)?;
            duel.compare_entries(effects.touched.into_iter())
        })
    }

    fn reset(&mut self, tier: Tier, keys: &[Tuple]) -> Result<(), Difference> {
        let before = world::now();
        let came = self.program.reset(tier, keys);
        self.agrees(before, world::now(), |duel, tick| {
            let (expected, effects) = duel.model.reset(tier, keys, tick);
            differs("how many pairs are marked", &expected, &came)?;
            duel.compare_entries(effects.touched.into_iter())
        })
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, came: &T) -> Result<(), Difference> {
    if expected == came {
        return Ok(());
    }
    Err(format!("{what} differ:\n  the model:   {expected:?}\n  the program: {came:?}\n"))
}
