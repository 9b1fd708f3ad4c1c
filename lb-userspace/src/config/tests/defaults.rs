//! What holds when nobody says otherwise, and what flags put over it.

use std::path::Path;
use std::time::Duration;

use super::super::{AdminState, Mode, Overrides, Policy, PortRange, Probe, XdpMode};
use super::super::{BackendSpec, Config, Family};
use super::{SHORT, right};

#[test]
fn a_short_file_is_a_whole_configuration() {
    let config = right(SHORT);
    assert_eq!(config.mode, Mode::Nat);
    assert_eq!(config.xdp_mode, XdpMode::Auto);
    assert!(!config.log_drops, "nobody asked for it");
    assert_eq!(config.snat_ports.value, PortRange::new(10_000, 29_999).expect("this is a range"));
    assert_eq!(config.timeouts.established, Duration::from_secs(14_400));
    assert_eq!(config.backends[0].state, AdminState::Enabled);
    assert_eq!(config.backends[0].weight, 1);
    let services: Vec<_> = config
        .services
        .iter()
        .map(|service| (&*service.name, service.port.value, service.policy, service.probe.to_string()))
        .collect();
    assert_eq!(
        services,
        [
            ("kubernetes-api", 6443, Policy::Maglev, "https".to_owned()),
            ("konnectivity-agent", 8132, Policy::Spread, "tls".to_owned()),
            ("konnectivity-server", 8133, Policy::Maglev, "follow:kubernetes-api".to_owned()),
            ("controller-join", 9443, Policy::Maglev, "https".to_owned()),
        ]
    );
}

#[test]
fn a_file_may_say_everything() {
    let config = right(
        r#"
        interfaces = ["eth0", "eth1"]
        vips = ["192.0.2.10", "2001:db8::10"]
        mode = "nat"
        xdp_mode = "generic"
        log_drops = true
        snat_addresses = ["192.0.2.10", "2001:db8::10"]
        snat_ports = [9500, 29999]
        cluster_key_file = "/etc/xdplb/cluster.key"
        probe = { interval = "5s", timeout = "500ms", fall = 2, rise = 1 }
        limits = { flow_table = 1_000_000, half_open_table = 65536 }
        timeouts = { established = "1h", half_closed = "5m", half_open = "30s", closed = "1s", time_wait = "2m" }
        backends = [
            { name = "a", addresses = ["10.0.0.11", "2001:db8::11"], weight = 3 },
            { address = "10.0.0.12", state = "draining" },
        ]
        [[services]]
        name = "api"
        port = 443
        backend_port = 6443
        policy = "spread"
        probe = "tcp"
        vips = ["192.0.2.11"]
        backends = ["a", "10.0.0.12"]
        [[services]]
        name = "join"
        port = 9443
        probe = "follow:api"
        backends = ["a"]
        "#,
    );
    assert_eq!(config.backends[1].name, "10.0.0.12", "a backend without a name is called by its address");
    assert_eq!(config.backends[0].address(Family::V6), Some("2001:db8::11".parse().expect("an address")));
    assert_eq!(config.services[0].backend_port, 6443);
    assert_eq!(config.services[1].probe.value, Probe::Follow("api".to_owned()));
    assert_eq!(config.probe.interval, Duration::from_secs(5));
    assert!(config.log_drops);
}

#[test]
fn a_timeout_left_out_never_exceeds_a_short_interval() {
    let config = right(&format!("{SHORT}\n[probe]\ninterval = \"300ms\"\n"));
    assert_eq!(config.probe.timeout, Duration::from_millis(300));
}

#[test]
fn flags_go_over_the_file() {
    let flags = Overrides {
        interfaces: vec!["eth9".to_owned()],
        vips: vec!["192.0.2.99".parse().expect("an address")],
        backends: ["c=10.0.0.13", "c=2001:db8::13", "10.0.0.14"]
            .map(|spec| spec.parse::<BackendSpec>().expect("a backend"))
            .to_vec(),
        mode: Some(Mode::Nat),
        xdp_mode: Some(XdpMode::Native),
        log_drops: true,
    };
    let config = Config::parse(Path::new("xdplb.toml"), SHORT, &flags).expect("this should be right");
    assert_eq!(config.interfaces[0].value, "eth9");
    assert_eq!(config.vips.as_ref().map(Vec::len), Some(1));
    assert_eq!(config.xdp_mode, XdpMode::Native);
    assert!(config.log_drops);
    let names: Vec<_> = config.backends.iter().map(|backend| &*backend.name).collect();
    assert_eq!(names, ["c", "10.0.0.14"]);
    assert_eq!(config.backends[0].addresses.len(), 2, "two flags of one name are one backend");
}

#[test]
fn flags_alone_are_enough() {
    let flags = Overrides {
        interfaces: vec!["eth0".to_owned()],
        backends: vec!["10.0.0.11".parse().expect("a backend")],
        ..Overrides::default()
    };
    let config = Config::from_flags(&flags).expect("this should be right");
    assert_eq!(config.services.len(), 4);
    assert!(config.vips.is_none());
}

#[test]
fn moving_a_line_is_no_change() {
    assert_eq!(right(SHORT), right(&format!("# a line more\n\n{SHORT}")));
    assert_ne!(right(SHORT), right(&SHORT.replace("10.0.0.12", "10.0.0.13")));
}
