//! One value of every type, for the tests of the API, of the tables and of `docs/api.md`.

use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// 2025-01-02T03:04:05Z, plus `seconds`.
pub(crate) fn moment(seconds: u64) -> Timestamp {
    Timestamp::new(UNIX_EPOCH + Duration::from_secs(1_735_787_045 + seconds))
}

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().expect("a sample address parses")
}

fn probed(name: &str, health: Health, since: u64, outcome: &str) -> ServiceBackend {
    let seen = health == Health::Up;
    let last_probe = LastProbe {
        at: moment(300),
        took_ms: 3,
        outcome: outcome.into(),
        certificate_ends: seen.then(|| moment(31_536_000)),
        certificate_days: seen.then_some(364),
        credential: Some(if seen { "accepted" } else { "unanswered" }.into()),
    };
    ServiceBackend {
        name: name.into(),
        health,
        slow_start_percent: None,
        unused: false,
        answered: true,
        since: Some(moment(since)),
        last_probe: Some(last_probe),
    }
}

pub(crate) fn backends() -> Vec<Backend> {
    let backend = |name: &str, ip: &str, health, flows| {
        let address = ip.parse().expect("a sample address parses");
        Backend {
            name: name.into(),
            address,
            addresses: vec![address],
            weight: 1,
            admin: Admin::Enabled,
            health: Some(health),
            flows,
        }
    };
    vec![
        backend("controller-1", "10.0.0.11", Health::Up, 412),
        backend("controller-2", "10.0.0.12", Health::Down, 0),
    ]
}

/// One controller of two is down.
pub(crate) fn status() -> Status {
    let service = |name: &str, port, policy| Service {
        name: name.into(),
        vip: "192.0.2.10".parse().expect("a sample address parses"),
        port,
        mode: Mode::Nat,
        policy,
        backends: vec![
            probed("controller-1", Health::Up, 2, "200 ok"),
            probed("controller-2", Health::Down, 180, "connection refused"),
        ],
    };
    Status {
        version: "0.1.0".into(),
        ready: true,
        agent: Agent { running: true, since: Some(moment(0)) },
        interfaces: vec![Interface { name: "eth0".into(), xdp_mode: XdpMode::Native }],
        services: vec![
            service("kubernetes-api", 6443, Policy::Maglev),
            service("konnectivity-agent", 8132, Policy::Spread),
        ],
        backends: backends(),
        fail_open: Vec::new(),
        refusing: Vec::new(),
        flow_table: TableUse { used: 412, capacity: 262_144 },
        half_open_table: TableUse { used: 2, capacity: 32_768 },
        totals: Totals { forwarded_packets: 51_234, dropped_packets: 17, passed_packets: 90_321 },
        warnings: Vec::new(),
    }
}

pub(crate) fn flow() -> Flow {
    Flow {
        client: address("10.0.1.20:51324"),
        vip: address("192.0.2.10:6443"),
        snat: Some(address("192.0.2.10:20417")),
        backend: "controller-1".into(),
        backend_address: address("10.0.0.11:6443"),
        state: "established".into(),
        age_s: 252,
        idle_s: 3,
        packets: 1_204,
        bytes: 310_220,
    }
}

pub(crate) fn flow_ipv6() -> Flow {
    Flow {
        client: address("[2001:db8:1::20]:51324"),
        vip: address("[2001:db8::10]:6443"),
        snat: Some(address("[2001:db8::10]:20418")),
        backend_address: address("[2001:db8:2::11]:6443"),
        ..flow()
    }
}

pub(crate) fn counters() -> Counters {
    [("drop_fragment", 2), ("drop_orphan_reply", 15), ("forwarded", 51_234), ("passed_not_ours", 90_321)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// A controller's process died.
pub(crate) fn event() -> Event {
    Event {
        level: EventLevel::Warning,
        service: Some("kubernetes-api".into()),
        backend: Some("controller-2".into()),
        family: Some("ipv4".into()),
        from: Some("up".into()),
        to: Some("down".into()),
        why: Some("connection refused".into()),
        ..Event::new(7, moment(180), EventKind::Health, "kubernetes-api on controller-2: down, was up")
    }
}
