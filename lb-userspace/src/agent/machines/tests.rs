//! What is probed, and whose health a VIP sees.

use std::path::Path;

use super::*;
use crate::{
    config::{HostFacts, InterfaceFacts, Overrides},
    health::{FailureReason, Outcome},
};

const BACKENDS: &str = r#"
[[backends]]
name = "c1"
addresses = ["10.0.0.11", "fd00::11"]

[[backends]]
name = "c2"
addresses = ["10.0.0.12", "fd00::12"]
"#;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A configuration with these VIPs and further tables, on a host with one interface.
fn resolved(vips: &str, tables: &str) -> (Config, Resolved) {
    let text = format!("interfaces = [\"eth0\"]\nvips = [{vips}]\n{BACKENDS}\n{tables}");
    let config = Config::parse(Path::new("xdplb.toml"), &text, &Overrides::default());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let eth0 = InterfaceFacts {
        name: "eth0".into(),
        index: 2,
        mac: [2, 0, 0, 0, 0, 1],
        driver: None,
        mtu: 1500,
        up: true,
        addresses: vec![(ip("10.0.0.10"), 24), (ip("fd00::10"), 64)],
    };
    let resolved = config.resolve(&HostFacts { interfaces: vec![eth0] });
    let resolved = resolved.unwrap_or_else(|error| panic!("{error}"));
    (config, resolved)
}

/// What is probed, in words.
fn probes(vips: &str, tables: &str) -> Vec<String> {
    let (config, resolved) = resolved(vips, tables);
    let wanted = wanted(&config, &resolved, &[1, 2]);
    wanted.iter().map(|wanted| format!("{} {}", wanted.probed.service, wanted.address)).collect()
}

#[test]
fn both_families_are_probed() {
    let (config, resolved) = resolved(r#""10.0.0.10", "fd00::10""#, "");
    let wanted = wanted(&config, &resolved, &[1, 4095]);
    assert_eq!(wanted.len(), 3 * 2 * 2, "three services, two backends, two families: {wanted:?}");
    let different: BTreeSet<&Probed> = wanted.iter().map(|wanted| &wanted.probed).collect();
    assert_eq!(different.len(), wanted.len(), "each of something else: {wanted:?}");
    assert!(wanted.iter().all(|wanted| Family::of(wanted.address) == wanted.probed.family));
}

#[test]
fn a_family_without_a_vip_is_not_probed() {
    let api = "[[services]]\nname = \"api\"\nport = 6443\n";
    assert_eq!(probes(r#""10.0.0.10""#, api), ["api 10.0.0.11", "api 10.0.0.12"]);
    assert_eq!(probes(r#""fd00::10""#, api), ["api fd00::11", "api fd00::12"]);
}

#[test]
fn who_is_followed_is_probed_by_the_families_of_the_follower_too() {
    let services = r#"
[[services]]
name = "api"
port = 6443
vips = ["10.0.0.10"]
backends = ["c1"]

[[services]]
name = "admin"
port = 8133
probe = "follow:api"
vips = ["fd00::10"]
backends = ["c1"]
"#;
    assert_eq!(probes(r#""10.0.0.10""#, services), ["api 10.0.0.11", "api fd00::11"]);
}

#[test]
fn a_vip_sees_the_health_of_its_own_family() {
    let (config, resolved) = resolved(r#""10.0.0.10", "fd00::10""#, "");
    let (mut machines, now) = (Machines::default(), Instant::now());
    let wanted = wanted(&config, &resolved, &[1, 2]);
    machines.settle(wanted, |_| Thresholds::default(), &FormerHealth::new(), now);
    let refused = Outcome::Failed(FailureReason::Refused);
    for (family, outcome) in [(Family::V4, Outcome::Up), (Family::V6, refused)] {
        let probed = Probed { service: "kubernetes-api".into(), backend: 2, family };
        machines.apply(&probed, ProbeResult::new(outcome, now, now));
    }
    let seen = |name: &str, backend: BackendId| -> Vec<Option<Health>> {
        let frontends = resolved.frontends.iter().filter(|frontend| frontend.name == name);
        frontends.map(|frontend| machines.get(frontend, backend).map(Machine::health)).collect()
    };
    let (up, down, unverified) = (Some(Health::Up), Some(Health::Down), Some(Health::Unverified));
    assert_eq!(seen("kubernetes-api", 2), [up, down]);
    assert_eq!(seen("konnectivity-server", 2), [up, down], "it follows by family too");
    assert_eq!(seen("kubernetes-api", 1), [unverified, unverified]);
    assert_eq!(seen("controller-join", 2), [unverified, unverified]);
}

#[test]
fn a_follower_is_down_since_what_it_follows_is() {
    let (config, resolved) = resolved(r#""10.0.0.10""#, "");
    let (mut machines, now) = (Machines::default(), Instant::now());
    machines.settle(
        wanted(&config, &resolved, &[1, 2]),
        |_| Thresholds::default(),
        &FormerHealth::new(),
        now,
    );
    let agent = resolved.frontends.iter().find(|frontend| frontend.name == "konnectivity-agent");
    let agent = agent.expect("one of the default services");
    let mut second = |service: &str, outcome, number: u64| {
        let at = now + std::time::Duration::from_secs(number);
        let probed = Probed { service: service.into(), backend: 1, family: Family::V4 };
        machines.apply(&probed, ProbeResult::new(outcome, at, at));
        let since = machines.since(agent, 1).expect("it is probed");
        (machines.health(agent, 1), (since - now).as_secs())
    };
    let refused = Outcome::Failed(FailureReason::Refused);
    second("kubernetes-api", Outcome::Up, 1);
    assert_eq!(second("konnectivity-agent", Outcome::Up, 2), (Health::Up, 2), "when both were");
    assert_eq!(second("kubernetes-api", Outcome::NotReady, 5), (Health::NotReady, 5));
    second("kubernetes-api", refused, 6);
    second("kubernetes-api", refused, 7);
    assert_eq!(second("kubernetes-api", refused, 8), (Health::Down, 8), "what it follows went down");
    second("konnectivity-agent", refused, 9);
    second("konnectivity-agent", refused, 10);
    assert_eq!(second("konnectivity-agent", refused, 11), (Health::Down, 8), "its own probe came later");
}

#[test]
fn what_a_former_agent_knew_is_of_one_service_and_one_address() {
    let (config, resolved) = resolved(r#""10.0.0.10", "fd00::10""#, "");
    let (mut machines, now) = (Machines::default(), Instant::now());
    let known = ("kubernetes-api".to_owned(), ip("fd00::11"));
    let former = FormerHealth::from([(
        known,
        Known { health: Health::Down, since: now, returned: None, answered: true },
    )]);
    machines.settle(wanted(&config, &resolved, &[1, 2]), |_| Thresholds::default(), &former, now);
    let down: Vec<&Probed> =
        machines.0.iter().filter(|(_, machine)| machine.health() == Health::Down).map(|(it, _)| it).collect();
    let expected = Probed { service: "kubernetes-api".into(), backend: 1, family: Family::V6 };
    assert_eq!(down, [&expected], "and all others are unverified");
}

#[test]
fn silence_means_what_the_others_of_the_backend_say() {
    let (config, resolved) = resolved(r#""10.0.0.10""#, "");
    let (mut machines, now) = (Machines::default(), Instant::now());
    let wanted = wanted(&config, &resolved, &[1, 2]);
    machines.settle(wanted, |_| Thresholds::default(), &FormerHealth::new(), now);
    let of = |service: &str| Probed { service: service.into(), backend: 1, family: Family::V4 };
    let refused = Outcome::Failed(FailureReason::Refused);
    let mut answer = |service: &str, outcome, times| {
        for _ in 0..times {
            machines.apply(&of(service), ProbeResult::new(outcome, now, now));
        }
        let join = resolved.frontends.iter().find(|frontend| frontend.name == "controller-join");
        let join = join.expect("one of the default services");
        (machines.silence_of(&of("controller-join")), machines.silence(join, 1))
    };
    assert_eq!(answer("controller-join", refused, 1), (Silence::Undecided, Some(Silence::Undecided)));
    answer("konnectivity-agent", refused, 1);
    let (silence, _) = answer("kubernetes-api", refused, 1);
    assert_eq!(silence, Silence::NotThereYet, "no service of the backend has answered");
    let (silence, _) = answer("kubernetes-api", Outcome::Opaque, 2);
    assert_eq!(silence, Silence::Unused, "another has");
    let (silence, _) = answer("kubernetes-api", refused, 3);
    assert_eq!(silence, Silence::Unused, "and still is when that other is lost");
    assert_eq!(answer("controller-join", Outcome::NotReady, 1), (Silence::Lost, None), "it has answered");
    assert_eq!(answer("controller-join", refused, 3), (Silence::Lost, Some(Silence::Lost)));
}
