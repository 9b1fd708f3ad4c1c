//! Stories: some clients and their connections, what both ends say in and out of turn, strangers, broken packets, and changes of
//! the tables. The next step follows from the seed and from what the model knows by then.

mod changes;
mod shape;
mod strangers;
mod talk;

use self::talk::Talk;
use crate::{
    model::Model,
    random::Random,
    rig::setting::{FAMILIES, Family, SERVICES},
    story::{Change, Step},
};

/// Most connections of a story: more than the flow table holds.
const MOST_TALKS: usize = 7;
/// Clients whose backends reset their connections: more than make a burst.
const STORM: u8 = 10;
/// Steps of a story.
const LENGTHS: [usize; 4] = [20, 40, 40, 80];

/// The maker of one story.
pub struct Generator {
    random: Random,
    family: Family,
    talks: Vec<Talk>,
    /// Changes that the story begins with.
    beginning: Vec<Change>,
    /// Steps that are left.
    left: usize,
    /// How its connections go.
    style: Style,
    /// Frames that have come, of which some come again.
    past: Vec<Step>,
}

/// How the connections of a story go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// In turn, mostly, and with some of everything.
    Mixed,
    /// They are opened and stay.
    Crowd,
    /// They are opened, and their backends reset them.
    Storm,
}

impl Generator {
    /// The story of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let family = random.pick(&FAMILIES);
        let count = 1 + random.below(MOST_TALKS).max(random.below(MOST_TALKS));
        // Few clients and services, so that connections meet.
        let services: Vec<_> = (0..3).map(|_| random.pick(&SERVICES)).collect();
        let style = match random.below(10) {
            0 => Style::Crowd,
            1 => Style::Storm,
            _ => Style::Mixed,
        };
        let talks = if style == Style::Storm {
            let service = random.pick(&services);
            (0..STORM).map(|number| Talk::of_client(&mut random, family, service, number)).collect()
        } else {
            (0..count).map(|_| Talk::new(&mut random, family, &services)).collect()
        };
        let beginning = changes::beginning(&mut random, family);
        let left = if style == Style::Storm { 120 } else { random.pick(&LENGTHS) };
        Self { random, family, talks, beginning, left, style, past: Vec::new() }
    }

    /// The next step; `None` at the end.
    pub fn next(&mut self, model: &Model) -> Option<Step> {
        if let Some(change) = self.beginning.pop() {
            return Some(Step::Change(change));
        }
        self.left = self.left.checked_sub(1)?;
        let random = &mut self.random;
        let step = match random.below(100) {
            0..6 => Step::Change(changes::any(random, self.family, model)),
            6..13 => strangers::packet(random, self.family, model),
            13..17 if !self.past.is_empty() => random.pick(&self.past),
            _ => {
                let index = random.below(self.talks.len());
                self.talks[index].packet(random, model, self.style)
            }
        };
        let step = shape::perhaps_broken(&mut self.random, step);
        if matches!(step, Step::Frame { .. }) {
            self.past.push(step.clone());
        }
        Some(step)
    }
}
