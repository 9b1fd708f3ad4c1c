//! What the packets show of a backend, told to the agent, each kind of each backend four times a second at the most.

use lb_common::abi::Evidence;

use super::{Model, flow::ticks_since};

/// The same is told again after this many ticks (0.25 s).
const AGAIN: u32 = 15;
/// RSTs on established connections that are a burst …
const BURST: u32 = 8;
/// … within this many ticks (1 s).
const BURST_SPAN: u32 = 60;

/// What is remembered of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When each kind was told last.
    pub told: [Option<u32>; 4],
    /// Since when RSTs are counted.
    pub burst_since: u32,
    /// How many there were since.
    pub resets: u32,
}

impl Model {
    /// Tells the agent, unless it has just been told the same.
    pub(super) fn tell(&mut self, backend: u16, kind: Evidence) {
        let now = self.now;
        let told = &mut self.memories.entry(backend).or_default().told[kind as usize];
        if told.is_some_and(|told| ticks_since(now, told) < AGAIN) {
            return;
        }
        *told = Some(now);
        self.effects.told.push((backend, kind));
    }

    /// A backend has reset an established connection.
    pub(super) fn backend_resets(&mut self, backend: u16) {
        let memory = self.memories.entry(backend).or_default();
        if ticks_since(self.now, memory.burst_since) > BURST_SPAN {
            (memory.burst_since, memory.resets) = (self.now, 0);
        }
        memory.resets += 1;
        if memory.resets == BURST {
            memory.resets = 0;
            self.tell(backend, Evidence::Resets);
        }
    }
}
