//! The lab of the demo with everything that runs in it, and the wait for an event with the bars moving.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use lb_tests::{Agent, AgentOptions, Lab, Load, LoadOptions, Server, report::LoadReport};

use crate::{
    ID,
    screen::{Screen, line},
};

/// New connections a second: enough to see, little enough for two cores with TLS on both sides.
const RATE: u64 = 60;
/// How often the bars move.
const FRAME: Duration = Duration::from_millis(100);
/// An event that has not come by then will not come.
const PATIENCE: Duration = Duration::from_secs(40);
/// The Kubernetes API.
pub(crate) const API: u16 = 6443;

/// Dropped in this order: load, agent, servers, lab.
pub(crate) struct Stage {
    load: Option<Load>,
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) lab: Lab,
    pub(crate) ready_after: Duration,
    /// Connections that died with the controller that had them.
    pub(crate) in_flight: u64,
    /// Where the bars of this scene begin.
    since: LoadReport,
}

impl Stage {
    pub(crate) fn set_up(screen: &Screen) -> Result<Self> {
        screen.scene("a lab: a client, the balancer's host, three controllers, a switch");
        let lab = Lab::builder().controllers(3).called(ID).build()?;
        let plan = lab.plan();
        let family = lb_tests::Family::V4;
        line(&format!("   client   {}", plan.client(family, 0)));
        line(&format!("   lb       {} (the VIP)", plan.vip(family)));
        for number in 1..=plan.controllers {
            line(&format!("   c{number}       {}", plan.controller(family, number)));
        }
        line("   each controller serves TLS on 6443, 8132, 8133 and 9443, and says who it is");
        let servers = Server::start_all(&lab)?;
        let begun = Instant::now();
        let agent = Agent::start(&lab, AgentOptions::default())?;
        let ready_after = begun.elapsed();
        let status = agent.wait_until_all("up")?;
        let mode = lb_tests::status::xdp_mode(&status).unwrap_or("unknown");
        line(&format!("   agent ready after {} ms; XDP mode {mode}", ready_after.as_millis()));
        let load = Load::start(&lab, &LoadOptions::to(lab.service(API)).rate(RATE))?;
        line(&format!("   the client makes {RATE} new TLS connections a second from here on"));
        Ok(Self {
            load: Some(load),
            agent,
            servers,
            lab,
            ready_after,
            in_flight: 0,
            since: LoadReport::default(),
        })
    }

    /// What the load saw so far.
    pub(crate) fn seen(&self) -> Result<LoadReport> {
        self.load.as_ref().map_or_else(|| Ok(LoadReport::default()), Load::so_far)
    }

    /// A new scene: the bars begin at nothing.
    pub(crate) fn scene(&mut self, screen: &Screen, title: &str) -> Result<()> {
        screen.scene(title);
        self.since = self.seen()?;
        Ok(())
    }

    /// Lets the bars move until the event; gives what the load saw since the scene began, and by then in all.
    pub(crate) fn watch(
        &mut self,
        screen: &mut Screen,
        what: &str,
        mut happened: impl FnMut(&mut Self, &LoadReport) -> Result<bool>,
    ) -> Result<LoadReport> {
        let begun = Instant::now();
        let names = self.lab.controllers();
        loop {
            ensure!(!crate::INTERRUPTED.load(Ordering::Relaxed), "interrupted");
            let seen = self.seen()?;
            if happened(self, &seen)? {
                let seen = self.seen()?;
                screen.settle(&names, &self.since, &seen, &format!("; {what}"));
                return Ok(seen);
            }
            if begun.elapsed() > PATIENCE {
                screen.settle(&names, &self.since, &seen, "");
                bail!("{what}: this did not happen within {PATIENCE:?}");
            }
            screen.live(&names, &self.since, &seen, "");
            thread::sleep(FRAME);
        }
    }

    /// As [`Self::watch`], until so many more connections were answered.
    pub(crate) fn watch_more(&mut self, screen: &mut Screen, count: u64, what: &str) -> Result<LoadReport> {
        let wanted = self.seen()?.ok + count;
        self.watch(screen, what, |_, seen| Ok(seen.ok >= wanted))
    }

    /// Ends the load; its report has the latencies.
    pub(crate) fn end_load(&mut self) -> Result<LoadReport> {
        self.load.take().map_or_else(|| Ok(LoadReport::default()), Load::stop)
    }

    /// Everything stays when we end.
    pub(crate) fn leave_standing(&mut self) {
        self.agent.leave_running();
        self.servers.iter_mut().for_each(Server::leave_running);
        self.lab.keep();
    }
}
