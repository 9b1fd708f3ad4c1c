//! The configuration on a host.

use std::net::IpAddr;

use super::super::{HostFacts, InterfaceFacts, Probe, Resolved};
use super::{SHORT, parse, right};

fn interface(name: &str, addresses: &[(&str, u8)]) -> InterfaceFacts {
    let addresses = addresses.iter().map(|(address, prefix)| (ip(address), *prefix)).collect();
    InterfaceFacts {
        name: name.to_owned(),
        index: 2,
        mac: [2, 0, 0, 0, 0, 1],
        driver: None,
        mtu: 1500,
        up: true,
        addresses,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("this is an address")
}

/// A host with two families on its first interface, and another interface.
fn host() -> HostFacts {
    let eth0 = [("fe80::1", 64), ("192.0.2.10", 24), ("192.0.2.20", 24), ("2001:db8::10", 64)];
    HostFacts {
        interfaces: vec![
            interface("lo", &[("127.0.0.1", 8), ("::1", 128)]),
            interface("eth0", &eth0),
            interface("eth1", &[("10.0.0.2", 24)]),
        ],
    }
}

fn resolved(text: &str) -> Resolved {
    right(text).resolve(&host()).unwrap_or_else(|error| panic!("this should fit: {error}\n{text}"))
}

fn warnings(text: &str) -> Vec<String> {
    resolved(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_file_is_four_services_on_its_vip() {
    let resolved = resolved(SHORT);
    assert_eq!(resolved.vips, [ip("192.0.2.10")]);
    let told: Vec<_> = resolved
        .frontends
        .iter()
        .map(|frontend| (frontend.id, frontend.port, frontend.backends.len()))
        .collect();
    assert_eq!(told, [(0, 6443, 2), (1, 8132, 2), (2, 8133, 2), (3, 9443, 2)]);
    assert_eq!(resolved.frontends[2].probe, Probe::Follow("kubernetes-api".to_owned()));
    let followed: Vec<_> = resolved.frontends.iter().map(|frontend| frontend.followed.as_deref()).collect();
    assert_eq!(followed, [None, Some("kubernetes-api"), Some("kubernetes-api"), None]);
    assert!(resolved.warnings.is_empty());
}

#[test]
fn the_default_vips_are_the_primary_addresses_of_the_backends_families() {
    let with = |interfaces: &str, backends: &str| {
        resolved(&format!("interfaces = [{interfaces}]\nbackends = [{backends}]")).vips
    };
    let v4 = "{ address = \"10.0.0.11\" }";
    let both = "{ addresses = [\"10.0.0.11\", \"2001:db8::11\"] }";
    assert_eq!(with("\"eth0\"", v4), [ip("192.0.2.10")]);
    assert_eq!(with("\"eth0\"", both), [ip("192.0.2.10"), ip("2001:db8::10")]);
    assert_eq!(with("\"eth0\", \"eth1\"", v4), [ip("192.0.2.10"), ip("10.0.0.2")]);
}

#[test]
fn services_are_expanded_in_the_order_of_the_file() {
    let resolved = resolved(
        "interfaces = [\"eth0\"]\nvips = [\"192.0.2.10\", \"2001:db8::10\"]\n\
         backends = [{ name = \"four\", address = \"10.0.0.11\" }, { name = \"six\", address = \"2001:db8::11\" }]\n\
         [[services]]\nname = \"api\"\nport = 6443\n\
         [[services]]\nname = \"own\"\nport = 443\nbackend_port = 6443\nvips = [\"192.0.2.20\"]\n\
         [[services]]\nname = \"six\"\nport = 80\nbackends = [\"six\"]\n",
    );
    let told: Vec<_> = resolved
        .frontends
        .iter()
        .map(|frontend| (&*frontend.name, frontend.vip, frontend.port, frontend.backends.clone()))
        .collect();
    assert_eq!(
        told,
        [
            ("api", ip("192.0.2.10"), 6443, vec![0]),
            ("api", ip("2001:db8::10"), 6443, vec![1]),
            ("own", ip("192.0.2.20"), 443, vec![0]),
            ("six", ip("2001:db8::10"), 80, vec![1]),
        ],
        "a VIP of a family that a service has no backend of is left out"
    );
    assert_eq!(resolved.vips, [ip("192.0.2.10"), ip("2001:db8::10"), ip("192.0.2.20")]);
    assert_eq!(resolved.frontends[2].service, 1);
}

#[test]
fn what_does_not_fit_the_host_is_refused() {
    let backend = "backends = [{ name = \"a\", address = \"10.0.0.11\" }]";
    for (text, expected) in [
        (
            format!("interfaces = [\"eth2\"]\n{backend}"),
            "xdplb.toml:1:15: this host has no interface \"eth2\"; did you mean \"eth0\"?",
        ),
        (
            format!("interfaces = [\"wlan0\"]\n{backend}"),
            "xdplb.toml:1:15: this host has no interface \"wlan0\"; use one of lo, eth0, eth1",
        ),
        (
            "interfaces = [\"eth0\"]\nbackends = [{ name = \"me\", address = \"10.0.0.2\" }]".to_owned(),
            "xdplb.toml:2:38: the backend \"me\" is this host (10.0.0.2 is on eth1); remove it or run the balancer \
             elsewhere",
        ),
        (
            "interfaces = [\"eth1\"]\nbackends = [{ name = \"a\", address = \"2001:db8::11\" }]".to_owned(),
            "xdplb.toml:1:15: no IPv6 address on eth1 to be the VIP; add vips = [\"IP\"]",
        ),
        (
            format!(
                "interfaces = [\"eth0\"]\n{backend}\n[[services]]\nname = \"api\"\nport = 6443\n\
                 [[services]]\nname = \"own\"\nport = 6443\nvips = [\"192.0.2.10\"]"
            ),
            "xdplb.toml:8:8: port 6443 of 192.0.2.10 belongs to \"api\" and \"own\"; give one of them another port \
             or VIP",
        ),
    ] {
        let told = right(&text).resolve(&host()).err().map(|error| error.to_string());
        assert_eq!(told.as_deref(), Some(expected), "of\n{text}");
    }
}

#[test]
fn services_on_many_vips_are_bounded_together() {
    let vips: Vec<String> = (1..=32).map(|number| format!("\"192.0.2.{number}\"")).collect();
    let services: Vec<String> =
        (1..=8).map(|port| format!("{{ name = \"s{port}\", port = {port} }}")).collect();
    let text = format!(
        "interfaces = [\"eth0\"]\nvips = [{}]\nservices = [{}]\nbackends = [{{ address = \"10.0.0.11\" }}]",
        vips.join(", "),
        services.join(", ")
    );
    let told = parse(&text).expect("right in itself").resolve(&host()).err().map(|error| error.to_string());
    assert_eq!(
        told.as_deref(),
        Some(
            "xdplb.toml:3:211: 256 services on VIPs are more than the 255 possible; remove some or run a second agent"
        )
    );
}

#[test]
fn what_the_operator_should_know_is_a_warning() {
    assert_eq!(
        warnings(&SHORT.replace("192.0.2.10", "192.0.2.99")),
        ["this host does not have the VIP 192.0.2.99 (on a standby that is right); else run `ip addr add \
          192.0.2.99/32 dev eth0`"]
    );
    assert_eq!(
        warnings(&format!("snat_addresses = [\"10.0.0.77\"]\n{SHORT}")),
        [
            "this host does not have the SNAT address 10.0.0.77, so replies do not come here; run `ip addr add \
          10.0.0.77/32 dev eth0`"
        ]
    );
    assert_eq!(
        warnings(&format!(
            "{SHORT}[[backends]]\nname = \"c\"\naddresses = [\"10.0.0.13\", \"2001:db8::13\"]\n"
        )),
        [
            "nobody is sent to 2001:db8::13 of the backend \"c\": no VIP is IPv6; add one or remove the address"
        ]
    );
    let drained = SHORT.replace("name = ", "state = \"draining\"\nname = ");
    assert_eq!(
        warnings(&format!("{drained}[[services]]\nname = \"api\"\nport = 6443\n")),
        ["every backend of the service \"api\" is drained or disabled; run `xdplb backend enable NAME`"]
    );
    assert_eq!(
        warnings(&format!("snat_ports = \"20000-24095\"\n{SHORT}")),
        [
            "snat_ports 20000-24095 are 4096 ports, and so many connections to one port of one backend at once; in a \
          storm of reconnects more are wanted, give 20000 if you can"
        ]
    );
    let mut host = host();
    host.interfaces[1].up = false;
    let told = right(SHORT).resolve(&host).expect("this should fit").warnings;
    assert_eq!(told[0].to_string(), "eth0 is down; run `ip link set eth0 up`");
}
