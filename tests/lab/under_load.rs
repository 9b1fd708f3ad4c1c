//! The load under which the principal stories are told: more than a large control plane sees in its worst minute.

use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};

use anyhow::{Context, Result};

use crate::{
    Hold, HoldOptions, Load, LoadOptions, PATIENCE,
    report::{Broken, Connect, HoldReport, LoadReport, Reconnected, median},
    setting::Setting,
};

/// New TLS connections a second: a tenth more than the 200 that shall not be fewer, for a machine that is held up.
pub const RATE: u64 = 220;
/// Long-lived connections with a request a second on each.
pub const ASKING: u64 = 334;
/// Long-lived connections whose client is silent while the server speaks, as a watch: a third of all.
pub const WATCHING: u64 = 166;

/// Where the source ports of the long-lived connections begin. They lie below those that the kernel gives away, so that a
/// new connection is never one that comes again from the port of a long-lived one.
const ASKING_PORTS: u16 = 10_000;
const WATCHING_PORTS: u16 = 20_000;

/// Who a connection is with, by the client's address: the backend, and the source that it sees.
pub type Flows = BTreeMap<String, (String, String)>;

/// The clients of a story, all at work.
#[derive(Debug)]
pub struct UnderLoad {
    /// New connections all the time.
    pub load: Load,
    asking: Hold,
    watching: Hold,
    /// The long-lived connections before anything happened.
    flows: Flows,
}

impl UnderLoad {
    /// Starts them, and waits until all long-lived connections stand and new ones have been answered for a second.
    pub fn start(setting: &Setting) -> Result<Self> {
        Self::start_with(setting, |load| load)
    }

    /// The same, with new connections that differ in something.
    pub fn start_with(setting: &Setting, differ: impl FnOnce(LoadOptions) -> LoadOptions) -> Result<Self> {
        let target = setting.service();
        let hold = |options: HoldOptions, first_port: u16| {
            let interval = Duration::from_secs(1);
            // Longer than whatever a story does to the network.
            let (patience, ports_from) = (Some(PATIENCE * 3), Some(first_port));
            let options = HoldOptions { interval, patience, ports_from, reconnect: true, ..options };
            Hold::start(&setting.lab, &options)
        };
        let asking = hold(HoldOptions::to(target, ASKING), ASKING_PORTS)?;
        let watching = hold(HoldOptions::watching(target, WATCHING), WATCHING_PORTS)?;
        let flows = established(setting)?;
        let load = Load::start(&setting.lab, &differ(LoadOptions::to(target).rate(RATE)))?;
        load.wait_for_more(RATE)?;
        Ok(Self { load, asking, watching, flows })
    }

    /// How many of the long-lived connections a backend had in the beginning.
    pub fn on(&self, backend: &str) -> Result<u64> {
        let (asking, watching) = self.each_on(backend)?;
        Ok((asking + watching) as u64)
    }

    fn each_on(&self, backend: &str) -> Result<(usize, usize)> {
        let of = |hold: &Hold| -> Result<usize> {
            let backends = hold.backends()?;
            let some = backends.get(backend).context("some of hundreds of connections go to each")?;
            Ok(usize::try_from(*some)?)
        };
        Ok((of(&self.asking)?, of(&self.watching)?))
    }

    /// Waits until as many long-lived connections have been made anew as a backend had in the beginning.
    pub fn wait_reconnected(&self, backend: &str) -> Result<()> {
        let (asking, watching) = self.each_on(backend)?;
        self.asking.wait_reconnected(asking)?;
        self.watching.wait_reconnected(watching)?;
        Ok(())
    }

    /// How many of the long-lived connections of the others are no longer what they were in the beginning, with whom and
    /// from where, as `xdplb flows` has them.
    pub fn moved(&self, setting: &Setting, victim: &str) -> Result<usize> {
        let now = established(setting)?;
        let of_others = self.flows.iter().filter(|(_, (backend, _))| backend != victim);
        Ok(of_others.filter(|(client, whom)| now.get(*client) != Some(whom)).count())
    }

    /// Ends all clients, the new connections first, and gives what they saw.
    pub fn stop(self) -> Result<Seen> {
        let (load, connects) = self.load.stop_with_connects()?;
        Ok(Seen { load, connects, asking: self.asking.stop()?, watching: self.watching.stop()? })
    }
}

/// The connections that stand, as `xdplb flows` has them.
fn established(setting: &Setting) -> Result<Flows> {
    let flows = setting.agent.json(&["flows"])?;
    let flows = flows.as_array().context("flows --json is an array")?;
    let text = |flow: &serde_json::Value, key: &str| flow[key].as_str().unwrap_or_default().to_owned();
    let stand = flows.iter().filter(|flow| flow["state"] == "established");
    Ok(stand.map(|flow| (text(flow, "client"), (text(flow, "backend"), text(flow, "snat")))).collect())
}

/// What the clients of a story saw.
pub struct Seen {
    /// Of the new connections.
    pub load: LoadReport,
    connects: Vec<Connect>,
    /// Of the long-lived ones that ask.
    pub asking: HoldReport,
    /// Of the watches.
    pub watching: HoldReport,
}

/// All but the thousands of connects.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}; asking {:?}; watching {:?}", self.load, self.asking, self.watching)
    }
}

impl Seen {
    /// The long-lived connections that broke.
    pub fn broken(&self) -> impl Iterator<Item = &Broken> {
        self.asking.broken.iter().chain(&self.watching.broken)
    }

    /// Those that were made anew.
    pub fn reconnected(&self) -> impl Iterator<Item = &Reconnected> {
        self.asking.reconnected.iter().chain(&self.watching.reconnected)
    }

    /// How many long-lived connections answered to the end, made anew or not.
    pub fn alive(&self) -> u64 {
        self.asking.alive + self.watching.alive
    }

    /// Tries to make a long-lived connection anew that failed and were begun after this moment.
    pub fn tries_failed_since(&self, moment_us: u64) -> usize {
        let tries = self.asking.tries_failed_us.iter().chain(&self.watching.tries_failed_us);
        tries.filter(|begun_us| **begun_us > moment_us).count()
    }

    /// How many long-lived connections of the others broke.
    pub fn strangers_broken(&self, victim: &str) -> usize {
        self.broken().filter(|broken| broken.backend != victim).count()
    }

    /// How many were really begun each second.
    fn rate(&self) -> u64 {
        let begun = || self.connects.iter().map(|connect| connect.begun_us);
        let (first, last) = (begun().min().unwrap_or(0), begun().max().unwrap_or(0));
        (self.load.attempts * 1_000_000).checked_div(last - first).unwrap_or(0)
    }

    /// What became of the new connections, where something happened at this moment.
    pub fn of_new_ones(&self, moment_us: u64) -> String {
        let load = &self.load;
        let since = load.failed_since(moment_us);
        format!(
            "{since} of {} new connections ({} a second) failed that began after, {} in flight then, {} connects over \
             1 s",
            load.attempts,
            self.rate(),
            load.failed() as usize - since,
            load.connects_over_1s
        )
    }

    /// What became of the long-lived connections that broke: how long after this moment they were, and how long after it
    /// they had their first answer from another, at the median.
    pub fn of_long_ones(&self, moment_us: u64, what: &str) -> String {
        let after = |moments: Vec<u64>| {
            let after = moments.into_iter().map(|at| at.saturating_sub(moment_us) / 1000);
            median(after.collect()).unwrap_or(0)
        };
        format!(
            "{} of {} long-lived connections broke {} ms after {what} at the median, and had an answer from another \
             after {} ms",
            self.broken().count(),
            self.asking.opened + self.watching.opened,
            after(self.broken().map(|broken| broken.at_us).collect()),
            after(self.reconnected().map(|anew| anew.at_us).collect())
        )
    }

    /// What a connect cost while a dead backend was still chosen. A third of the connections were, and a client cannot
    /// tell which; so it is told of the slowest third, which cannot be less.
    pub fn of_affected(&self, while_chosen: &Range<u64>) -> String {
        let took = |pleases: &dyn Fn(&Connect) -> bool| -> Vec<u64> {
            let mut took: Vec<u64> = self
                .connects
                .iter()
                .filter(|connect| pleases(connect))
                .map(|connect| connect.took_us)
                .collect();
            took.sort_unstable();
            took
        };
        let before = median(took(&|connect| connect.begun_us < while_chosen.start)).unwrap_or(0);
        let meanwhile = took(&|connect| while_chosen.contains(&connect.begun_us));
        let slowest = meanwhile[meanwhile.len() - meanwhile.len().div_ceil(3)..].to_vec();
        let added = median(slowest).unwrap_or(0).saturating_sub(before);
        format!(
            "the slowest third of {} connects begun before the verdict took {added} µs more at the median than {before} \
             µs before, the slowest of all {} µs",
            meanwhile.len(),
            meanwhile.last().copied().unwrap_or(0)
        )
    }
}
