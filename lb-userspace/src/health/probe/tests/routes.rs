//! A backend that cannot be reached: whose lack of a route that is, this host's or a router's.

use super::*;
use crate::net::namespace::{Namespace, namespace_or_skip};

/// A host, and a router beside it, which knows no other network: the first and the second address of 10.9.0.0/24 and of
/// `fd00:9::/64`.
fn host_and_router(test: &str) -> Option<(Namespace, Namespace)> {
    let (host, router) = (namespace_or_skip(test)?, namespace_or_skip(test)?);
    host.ip(&format!("link add name near type veth peer name far netns {}", router.id()));
    for (namespace, device, number) in [(&host, "near", 1), (&router, "far", 2)] {
        namespace.ip(&format!("addr add 10.9.0.{number}/24 dev {device}"));
        namespace.ip(&format!("addr add fd00:9::{number}/64 dev {device} nodad"));
        namespace.ip(&format!("link set {device} up"));
    }
    router.run(|| {
        // It forwards, and says so each time that it cannot: usually once a second.
        for (switch, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            let path = format!("/proc/sys/net/{switch}");
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    });
    Some((host, router))
}

/// What a probe of each kind makes of an address, from within a namespace.
fn asked(host: &Namespace, address: &'static str) -> Vec<Outcome> {
    host.block_on(move || async move {
        let to = format!("{address}:6443").parse().expect("an address");
        let tcp = Asker::new(to, ProbeKind::Tcp, PATIENCE).ask().await.outcome;
        vec![tcp, anonymous(to, PATIENCE).await]
    })
}

#[test]
fn a_lack_of_a_route_here_is_this_hosts_and_there_the_backends() {
    let test = "a_lack_of_a_route_here_is_this_hosts_and_there_the_backends";
    let Some((host, router)) = host_and_router(test) else { return };
    let none = [failed(FailureReason::NoRoute); 2];
    for address in ["10.8.0.1", "[fd00:8::1]"] {
        assert_eq!(asked(&host, address), none, "{address}, to which nobody leads");
    }
    assert!(FailureReason::NoRoute.is_local(), "no backend is judged by it");

    host.ip("route add default via 10.9.0.2");
    host.ip("-6 route add default via fd00:9::2");
    let router_has_none = [failed(FailureReason::NetworkUnreachable); 2];
    for address in ["10.8.0.1", "[fd00:8::1]"] {
        assert_eq!(asked(&host, address), router_has_none, "{address}, by a router that knows no more");
    }
    assert!(!FailureReason::NetworkUnreachable.is_local(), "it is the network's word of the backend");

    router.ip("route add prohibit 10.8.0.0/24");
    router.ip("-6 route add prohibit fd00:8::/64");
    let forbidden = [failed(FailureReason::HostUnreachable); 2];
    for address in ["10.8.0.1", "[fd00:8::1]"] {
        assert_eq!(asked(&host, address), forbidden, "{address}, which the router forbids");
    }

    for (kind, reason) in [
        ("unreachable", FailureReason::NoRoute),
        ("blackhole", FailureReason::NoRoute),
        ("prohibit", FailureReason::NotPermitted),
    ] {
        for (family, network, address) in
            [("", "10.8.0.0/24", "10.8.0.1"), ("-6 ", "fd00:8::/64", "[fd00:8::1]")]
        {
            host.ip(&format!("{family}route replace {kind} {network}"));
            assert_eq!(asked(&host, address), [failed(reason); 2], "{address}, by a route that is {kind}");
            host.ip(&format!("{family}route del {kind} {network}"));
        }
    }
}
