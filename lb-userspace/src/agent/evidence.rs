//! What the packets show of the backends, as the programs tell it: the prober looks at once, and one failed probe is
//! enough then.

use anyhow::Context as _;
use lb_common::{
    abi::{Evidence, EvidenceEvent},
    tick::{Tick, ns_from_ticks},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use super::{Agent, clock, machines::Probed};
use crate::{health::Machine, kernel::tables::EvidenceRing};

/// Events that may wait for the agent; what does not fit is told again by the programs.
const WAITING: usize = 64;

/// Evidence this old, in nanoseconds, is from the time before this agent, and a probe has looked since.
const STALE_NS: u64 = 2_000_000_000;

/// Reads the ring for as long as the agent lives.
pub fn follow(ring: EvidenceRing) -> anyhow::Result<mpsc::Receiver<EvidenceEvent>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    // SAFETY: the ring owns its descriptor, which stays the same for as long as it is.
    let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
    let mut ring = ring.map_err(std::io::Error::from).context("the programs' evidence cannot be read")?;
    tokio::spawn(async move {
        while let Ok(mut ready) = ring.readable_mut().await {
            while let Some(event) = ready.get_inner_mut().next() {
                let _told_again = sender.try_send(event);
            }
            ready.clear_ready();
            if sender.is_closed() {
                return;
            }
        }
    });
    Ok(receiver)
}

impl Agent {
    /// Takes in what the programs saw of a service on a backend: its probe is asked at once. A service without a probe of
    /// its own is nobody's evidence: its port may be refused as a rule (8133).
    pub(super) fn saw(&mut self, event: EvidenceEvent) {
        let age = Tick::from_ns(clock::monotonic_ns()).since(Tick(event.tick));
        if ns_from_ticks(age) > STALE_NS {
            return;
        }
        let Some((service, family)) = self.state.probed_on(event.service) else { return };
        let probed = Probed { service, backend: event.backend, family };
        let Some(target) = self.targets.number_of(&probed) else { return };
        if let Some(kind) = Evidence::from_number(event.kind) {
            log::debug!("{}: {}", self.probed_words(&probed), words(kind));
        }
        self.state.suspect(&probed, Self::now());
        self.prober.hurry(target, self.state.machine_of(&probed).is_some_and(Machine::in_doubt));
        self.prober.wake(target);
    }
}

/// What was seen, in words.
fn words(kind: Evidence) -> &'static str {
    match kind {
        Evidence::Refused => "a connection was refused",
        Evidence::Unreachable => "a router says that it cannot be reached",
        Evidence::Silent => "a connection was not answered",
        Evidence::Resets => "many connections were reset at once",
    }
}
