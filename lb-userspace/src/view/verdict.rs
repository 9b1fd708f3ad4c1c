//! "Is it OK?", in one line.

use super::style::Paint;
use crate::control::types::{Admin, Backend, Health, Status, XdpMode};

/// From here on a table is worth a word: there is still time to act.
const NEARLY_FULL_PERCENT: u64 = 80;

/// The answer, and how bad it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) word: &'static str,
    pub(super) paint: Paint,
    pub(super) reasons: String,
}

/// The worst thing first: nothing is served, somebody is served on trust, nobody watches, something is missing.
pub(super) fn verdict(status: &Status) -> Verdict {
    let verdict = |word, paint, reasons: String| Verdict { word, paint, reasons };
    let detached = status.interfaces.iter().all(|interface| interface.xdp_mode == XdpMode::Detached);
    if !status.agent.running && detached {
        let reasons = "no program is attached, so the host's own TCP gets the packets; start `xdplb run`";
        return verdict("not serving", Paint::Bad, reasons.to_owned());
    }
    // Without an agent nobody is ready, but packets are forwarded all the same.
    if status.agent.running && !status.ready {
        let reasons = "this balancer does not serve yet; the agent's log says what it waits for";
        return verdict("not ready", Paint::Bad, reasons.to_owned());
    }
    if !status.refusing.is_empty() {
        let reasons = format!(
            "no enabled backend of {} passes its probe; new connections are refused until one does",
            status.refusing.join(", ")
        );
        return verdict("refusing", Paint::Bad, reasons);
    }
    if !status.fail_open.is_empty() {
        let reasons = format!(
            "no enabled backend of {} passes its probe; the last healthy ones keep the traffic",
            status.fail_open.join(", ")
        );
        return verdict("fail open", Paint::Bad, reasons);
    }
    if !status.agent.running {
        let reasons = "packets are forwarded, but nobody probes the backends; start `xdplb run`";
        return verdict("unattended", Paint::Bad, reasons.to_owned());
    }
    if status.backends.is_empty() {
        let reasons = "there are no backends; add one with `xdplb backend add NAME=IP`";
        return verdict("degraded", Paint::Caution, reasons.to_owned());
    }
    let missing = missing(status);
    if missing.is_empty() {
        verdict("ok", Paint::Good, summary(status))
    } else {
        verdict("degraded", Paint::Caution, missing.join("; "))
    }
}

/// What keeps an attended, serving balancer from being whole.
fn missing(status: &Status) -> Vec<String> {
    let mut missing = Vec::new();
    for backend in status.backends.iter().filter(|backend| backend.admin == Admin::Enabled) {
        if let Some(health) = worst(status, backend).filter(|health| !takes_flows(*health)) {
            missing.push(format!("{} is {health}", backend.name));
        }
    }
    for interface in status.interfaces.iter().filter(|interface| interface.xdp_mode == XdpMode::Detached) {
        missing.push(format!("no program is attached to {}", interface.name));
    }
    let percent = status.flow_table.percent();
    if percent >= NEARLY_FULL_PERCENT {
        missing.push(format!("the flow table is {percent} % full"));
    }
    missing
}

fn summary(status: &Status) -> String {
    let taking = status
        .backends
        .iter()
        .filter(|backend| backend.admin == Admin::Enabled && worst(status, backend).is_none_or(takes_flows))
        .count();
    let flows: u64 = status.backends.iter().map(|backend| backend.flows).sum();
    // Removed backends that flows still hold have no weight.
    let all = status.backends.iter().filter(|backend| backend.weight > 0).count();
    format!("{taking} of {all} backends in use, {flows} flows")
}

fn worst(status: &Status, backend: &Backend) -> Option<Health> {
    let severity = |health: &Health| Health::ALL.iter().position(|other| other == health);
    status
        .services
        .iter()
        .flat_map(|service| &service.backends)
        // What nothing listens on by intention is no reason.
        .filter(|entry| entry.name == backend.name && !entry.unused)
        .map(|entry| entry.health)
        .max_by_key(severity)
}

/// Whether new connections go to a backend of this health.
pub(super) fn takes_flows(health: Health) -> bool {
    match health {
        Health::Unverified | Health::Up | Health::Opaque => true,
        Health::NotReady | Health::Down => false,
    }
}

/// The colour of a backend's health.
pub(super) fn health_paint(health: Health) -> Paint {
    match health {
        Health::Up | Health::Opaque => Paint::Good,
        Health::Unverified | Health::NotReady => Paint::Caution,
        Health::Down => Paint::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    fn words(status: &Status) -> String {
        let verdict = verdict(status);
        format!("{}: {}", verdict.word, verdict.reasons)
    }

    #[test]
    fn the_worst_thing_is_said_first() {
        let mut status = samples::status();
        assert_eq!(words(&status), "degraded: controller-2 is down", "one of two is down");
        status.flow_table.used = status.flow_table.capacity;
        assert_eq!(
            words(&status),
            "degraded: controller-2 is down; the flow table is 100 % full",
            "all that is missing is named"
        );
        status.agent.running = false;
        assert!(words(&status).starts_with("unattended: packets are forwarded"), "nobody watches");
        status.fail_open = vec!["kubernetes-api".into()];
        assert!(
            words(&status).starts_with("fail open: no enabled backend of kubernetes-api"),
            "served on trust"
        );
        status.refusing = vec!["controller-join".into()];
        assert!(
            words(&status).starts_with("refusing: no enabled backend of controller-join"),
            "nothing is served there"
        );
        status.ready = false;
        status.agent.running = true;
        assert!(words(&status).starts_with("not ready:"), "nothing is served");
    }

    #[test]
    fn without_an_agent_it_matters_whether_the_program_is_there() {
        let mut status = samples::status();
        (status.agent.running, status.ready) = (false, false);
        assert!(
            words(&status).starts_with("unattended: packets are forwarded"),
            "as the pinned maps tell it"
        );
        status.interfaces[0].xdp_mode = XdpMode::Detached;
        assert!(words(&status).starts_with("not serving: no program is attached"), "nobody forwards");
    }

    #[test]
    fn what_is_unused_is_no_reason() {
        let mut status = samples::status();
        for backend in status.services.iter_mut().flat_map(|service| &mut service.backends) {
            backend.unused = backend.health == Health::Down;
        }
        assert_eq!(words(&status), "ok: 2 of 2 backends in use, 412 flows", "nothing is missing");
    }

    #[test]
    fn a_backend_taken_out_on_purpose_is_no_reason() {
        let mut status = samples::status();
        status.backends[1].admin = Admin::Disabled;
        assert_eq!(words(&status), "ok: 1 of 2 backends in use, 412 flows", "disabled and down is as wanted");
    }
}
