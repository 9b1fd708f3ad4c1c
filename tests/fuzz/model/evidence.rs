//! What the packets show of a service on a backend, told to the agent, each kind four times a second at the most. It must be
//! the backend's doing: see the table of what counts in ARCHITECTURE.md, "Redispatch".

use std::net::IpAddr;

use lb_common::abi::{Evidence, RESET_CLIENTS};

use super::{Entry, Model, flow::ticks_since};

/// The same is told again after this many ticks (0.25 s).
const AGAIN: u32 = 15;
/// Ticks that a burst of RSTs may last (1 s).
const BURST_SPAN: u32 = 60;

/// What is remembered of a service on a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When each kind was told last.
    pub told: [Option<u32>; 4],
    /// Since when `clients` are noted.
    pub burst_since: u32,
    /// The clients whose connections were reset since.
    pub clients: Vec<IpAddr>,
}

impl Model {
    /// Tells the agent of what became of an entry's SYN, unless not every host would answer that.
    pub(super) fn tell(&mut self, forward: &Entry, kind: Evidence) {
        if forward.syn.is_ordinary() {
            self.say(forward, kind);
        }
    }

    /// Says it, unless it has just been said.
    fn say(&mut self, entry: &Entry, kind: Evidence) {
        let (key, now) = ((entry.backend, entry.service), self.now);
        let told = &mut self.memories.entry(key).or_default().told[kind as usize];
        if told.is_some_and(|told| ticks_since(now, told) < AGAIN) {
            return;
        }
        *told = Some(now);
        self.effects.told.push((entry.backend, kind));
    }

    /// A backend has reset an established connection; its entry is the reverse one.
    pub(super) fn backend_resets(&mut self, entry: &Entry) {
        let now = self.now;
        let client = entry.twin.0.ip();
        let memory = self.memories.entry((entry.backend, entry.service)).or_default();
        if ticks_since(now, memory.burst_since) > BURST_SPAN {
            (memory.burst_since, memory.clients) = (now, Vec::new());
        }
        if memory.clients.contains(&client) {
            return;
        }
        memory.clients.push(client);
        if memory.clients.len() == RESET_CLIENTS {
            (memory.burst_since, memory.clients) = (now, Vec::new());
            self.say(entry, Evidence::Resets);
        }
    }
}
