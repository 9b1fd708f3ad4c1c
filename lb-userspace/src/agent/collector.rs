//! The collector: one thread that walks the flow tables in slices, has the pairs deleted that are over, and counts what
//! it sees.
//!
//! A walk is paced so that it takes at most 1.5 % of a core, however large the tables are. So it may come
//! around only every half minute over a million flows; closed flows do not wait for it: the data plane tells of each in
//! a ring, and they are collected when they are due.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use lb_common::{
    abi::{AddressV4, AddressV6, FlowKeyV4, FlowKeyV6, Settings, StateWord},
    tick::{Tick, ns_from_ticks},
};
use tokio::sync::watch;

use super::{
    census::{Census, Standard},
    clock,
};
use crate::kernel::{
    self,
    batch::{FlowTables, Walk},
    collect::{Collector, Tier},
    tables::ClosedFlows,
};

/// A walk may take one part in this many of a core: 1.5 %.
const PACE: u32 = 66;

/// The least time from the beginning of a walk to the beginning of the next.
const SHORTEST_ROUND: Duration = Duration::from_secs(2);

/// How often the ring of closed flows is looked at.
const RING_INTERVAL: Duration = Duration::from_millis(500);

/// A message to the thread. It ends when the sender is dropped.
pub enum Message {
    /// The settings have changed.
    Settings(Box<Settings>),
    /// Walk at once.
    Walk,
}

/// Starts the thread.
///
/// # Errors
///
/// Where the pinned maps cannot be opened.
pub fn start(
    pins: PathBuf,
    program: OwnedFd,
    settings: Settings,
    messages: Receiver<Message>,
) -> Result<watch::Receiver<Census>, kernel::Error> {
    let tables = FlowTables::open(&pins).map_err(|error| kernel::Error::map_call("FLOWS", &error))?;
    let ring = ClosedFlows::open(&pins)?;
    let (census, watched) = watch::channel(Census::default());
    let thread = Thread {
        tables: Arc::new(tables),
        ring,
        collector: Collector::new(program),
        settings,
        messages,
        census,
        closed: [VecDeque::new(), VecDeque::new()],
        hurry: false,
        stopped: false,
    };
    thread::Builder::new().name("collector".into()).spawn(|| thread.run()).map_err(|error| {
        kernel::Error::Pins {
            path: pins,
            reason: format!("the collector's thread cannot be started: {error}"),
        }
    })?;
    Ok(watched)
}

/// A closed flow's key, of either family.
#[derive(Clone, Copy)]
enum ClosedKey {
    V4(FlowKeyV4),
    V6(FlowKeyV6),
}

struct Thread {
    tables: Arc<FlowTables>,
    ring: ClosedFlows,
    collector: Collector,
    settings: Settings,
    messages: Receiver<Message>,
    census: watch::Sender<Census>,
    /// Closed flows and when to try: first for the short time-out, then for the long one.
    closed: [VecDeque<(Instant, ClosedKey)>; 2],
    hurry: bool,
    stopped: bool,
}

impl Thread {
    fn run(mut self) {
        while !self.stopped {
            let begun = Instant::now();
            // Whoever asks from here on gets a walk that begins after the question.
            self.hurry = false;
            let worked = match self.walk_all() {
                Ok(worked) => worked,
                Err(error) => {
                    log::warn!("the flow tables cannot be walked: {error}");
                    Duration::ZERO
                }
            };
            let round = SHORTEST_ROUND.max(worked * PACE);
            while !self.stopped && !self.hurry && begun.elapsed() < round {
                self.wait(RING_INTERVAL.min(round));
                self.look_at_closed();
            }
        }
    }

    /// Waits for a message, but not longer than this.
    fn wait(&mut self, limit: Duration) {
        match self.messages.recv_timeout(limit) {
            Ok(Message::Settings(settings)) => self.settings = *settings,
            Ok(Message::Walk) => self.hurry = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stopped = true,
        }
    }

    /// Walks all tables and tells what it counted; the time it worked.
    fn walk_all(&mut self) -> io::Result<Duration> {
        let mut census = Census::begin();
        let mut worked = Duration::ZERO;
        // A pair that is promoted meanwhile is in the upper tier before it has gone from the lower.
        for tier in [Tier::HalfOpen, Tier::Flows] {
            worked += self.walk::<AddressV4>(tier, &mut census)?;
            worked += self.walk::<AddressV6>(tier, &mut census)?;
        }
        if !self.stopped {
            census.at_ns = clock::monotonic_ns();
            self.census.send_replace(census);
        }
        Ok(worked)
    }

    fn walk<A: Standard>(&mut self, tier: Tier, census: &mut Census) -> io::Result<Duration> {
        let tables = Arc::clone(&self.tables);
        let mut walk = Walk::<A>::new(&tables, tier);
        let mut worked = Duration::ZERO;
        let mut expired = Vec::new();
        loop {
            let begun = Instant::now();
            let now = Tick::from_ns(clock::monotonic_ns());
            let Some(slice) = walk.next_slice()? else { return Ok(worked) };
            for (key, flow) in slice {
                census.count(tier, &key, &flow);
                if now.since(Tick(flow.meta.last_seen)) > self.settings.timeout(StateWord(flow.meta.state)) {
                    expired.push(key);
                }
            }
            self.collector.collect(tier, &expired)?;
            expired.clear();
            let took = begun.elapsed();
            worked += took;
            if self.stopped {
                return Ok(worked);
            }
            if !self.hurry && !walk.is_over() {
                self.wait(took * PACE);
                self.look_at_closed();
            }
        }
    }

    /// Takes in what the ring tells, and collects what is due.
    fn look_at_closed(&mut self) {
        let now = Instant::now();
        let after = |ticks: u32| now + Duration::from_nanos(ns_from_ticks(ticks + 1));
        let (soon, late) = (after(self.settings.closed_timeout), after(self.settings.time_wait_timeout));
        while let Some(item) = self.ring.next() {
            if let Some(key) = ClosedKey::from_bytes(&item) {
                self.closed[0].push_back((soon, key));
                self.closed[1].push_back((late, key));
            }
        }
        for queue in 0..self.closed.len() {
            let due = self.closed[queue].partition_point(|(at, _)| *at <= now);
            let keys: Vec<ClosedKey> = self.closed[queue].drain(..due).map(|(_, key)| key).collect();
            let v4: Vec<FlowKeyV4> = keys
                .iter()
                .filter_map(|key| if let ClosedKey::V4(key) = key { Some(*key) } else { None })
                .collect();
            let v6: Vec<FlowKeyV6> = keys
                .iter()
                .filter_map(|key| if let ClosedKey::V6(key) = key { Some(*key) } else { None })
                .collect();
            for tier in [Tier::Flows, Tier::HalfOpen] {
                let collected =
                    self.collector.collect(tier, &v4).and_then(|_| self.collector.collect(tier, &v6));
                if let Err(error) = collected {
                    log::warn!("closed flows cannot be collected: {error}");
                }
            }
        }
    }
}

impl ClosedKey {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        /// # Safety
        ///
        /// `K` is valid for every bit pattern.
        unsafe fn read<K: Copy>(bytes: &[u8]) -> K {
            // SAFETY: the caller has compared the length, and vouches for the type.
            unsafe { bytes.as_ptr().cast::<K>().read_unaligned() }
        }
        match bytes.len() {
            // SAFETY: a key is plain bytes.
            length if length == size_of::<FlowKeyV4>() => Some(Self::V4(unsafe { read(bytes) })),
            // SAFETY: a key is plain bytes.
            length if length == size_of::<FlowKeyV6>() => Some(Self::V6(unsafe { read(bytes) })),
            _ => None,
        }
    }
}
