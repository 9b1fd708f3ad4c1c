//! Against the kernel, each in namespaces of its own; without root they say that they were skipped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::namespace::{Namespace, namespace_or_skip};
use super::*;

fn ip(address: &str) -> IpAddr {
    address.parse().expect("the test holds addresses")
}

/// Two namespaces joined by a veth pair, 10.9.0.1 and 10.9.0.2.
fn pair(test: &str) -> Option<(Namespace, Namespace)> {
    let (near, far) = (namespace_or_skip(test)?, namespace_or_skip(test)?);
    near.ip(&format!("link add name near type veth peer name far netns {}", far.id()));
    near.ip("link set near address 02:00:00:00:00:01 mtu 1400 up");
    far.ip("link set far address 02:00:00:00:00:02 up");
    near.ip("addr add 10.9.0.1/24 dev near");
    near.ip("addr add 10.9.0.5/24 dev near");
    near.ip("addr add 2001:db8::1/64 dev near nodad");
    far.ip("addr add 10.9.0.2/24 dev far");
    Some((near, far))
}

/// Waits for an event that fits, and passes over the others.
async fn wait_for<T>(events: &mut Receiver<Event>, what: &str, fits: impl Fn(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = events.recv().await.and_then(&fits) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(10), search).await.unwrap_or_else(|_| panic!("no event: {what}"))
}

#[test]
fn facts_tell_interfaces_and_addresses() {
    let Some((near, _far)) = pair("facts_tell_interfaces_and_addresses") else { return };
    let facts = near.block_on(|| async { Netlink::open().expect("netlink opens").facts().await });
    let facts = facts.expect("links and addresses can be read");
    let interface = facts.by_name("near").expect("the veth is there");
    assert_eq!(interface.mac, Some([2, 0, 0, 0, 0, 1]));
    assert_eq!((interface.mtu, interface.up, interface.running), (1400, true, true));
    assert_eq!(interface.kind.as_deref(), Some("veth"));
    assert_eq!(interface.driver.as_deref(), Some("veth"));
    assert_eq!(interface.lower, None, "the far end of a veth is not below it");
    let address =
        |text| interface.addresses.iter().find(|a| a.address == ip(text)).expect("it has the address");
    assert_eq!(address("10.9.0.1").prefix_len, 24);
    assert!(!address("10.9.0.1").secondary && address("10.9.0.5").secondary);
    assert_eq!(address("2001:db8::1").scope, Scope::Global);
    assert_eq!(facts.owner_of(ip("127.0.0.1")).map(|lo| (lo.loopback, lo.mac)), Some((true, None)));
}

#[test]
fn routes_tell_which_segments_they_let_others_send() {
    let Some((near, _far)) = pair("routes_tell_which_segments_they_let_others_send") else { return };
    near.ip("route add 192.0.2.0/24 via 10.9.0.2 advmss 1200");
    near.ip("route add 2001:db8:1::/48 via 2001:db8::2 advmss 1180");
    near.block_on(|| async {
        let netlink = Netlink::open().expect("netlink opens");
        for (address, segment) in
            [("10.9.0.2", None), ("192.0.2.7", Some(1200)), ("2001:db8:1::7", Some(1180))]
        {
            let told = netlink.advertised_segment(ip(address)).await.expect("there is a route");
            assert_eq!(told, segment, "the route to {address}");
        }
    });
}

#[test]
fn an_interface_conducts_itself_as_the_larger_sysctl_says() {
    let Some((near, _far)) = pair("an_interface_conducts_itself_as_the_larger_sysctl_says") else { return };
    near.run(|| {
        let set = |of: &str, name: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/{of}/{name}");
            std::fs::write(path, value).expect("a sysctl of our namespace can be written");
        };
        for (of, name, value) in [
            ("all", "arp_ignore", "1"),
            ("near", "arp_ignore", "0"),
            ("all", "arp_announce", "0"),
            ("near", "arp_announce", "2"),
            ("all", "rp_filter", "1"),
            ("near", "rp_filter", "2"),
        ] {
            set(of, name, value);
        }
        let conduct = Conduct::of("near").expect("the sysctls can be read");
        let expected = Conduct { arp_ignore: 1, arp_announce: 2, rp_filter: 2, merges_segments: false };
        assert_eq!(conduct, expected);
        let gone = Conduct::of("nowhere").expect_err("there is no such interface").to_string();
        assert!(gone.contains("conf/nowhere/arp_ignore"), "it says which file: {gone}");
    });
}

#[test]
fn routes_tell_next_hop_and_source() {
    let Some((near, _far)) = pair("routes_tell_next_hop_and_source") else { return };
    near.ip("route add 192.0.2.0/24 via 10.9.0.2");
    near.ip("route add blackhole 198.51.100.0/24");
    near.block_on(|| async {
        let netlink = Netlink::open().expect("netlink opens");
        let index = netlink.facts().await.expect("facts").by_name("near").expect("the veth is there").index;
        let direct = netlink.route_to(ip("10.9.0.2"), None).await.expect("there is a route");
        let source = Some(ip("10.9.0.1"));
        assert_eq!(direct, Route { interface: index, gateway: None, source, local: false });
        let via = netlink.route_to(ip("192.0.2.7"), Some(ip("10.9.0.5"))).await.expect("there is a route");
        assert_eq!((via.gateway, via.source), (Some(ip("10.9.0.2")), Some(ip("10.9.0.5"))));
        assert_eq!(via.next_hop(ip("192.0.2.7")).address, ip("10.9.0.2"));
        assert!(netlink.route_to(ip("10.9.0.1"), None).await.expect("its own address").local);
        let six = netlink.route_to(ip("2001:db8::2"), None).await.expect("there is a route");
        assert_eq!((six.interface, six.gateway), (index, None));
        for nowhere in ["198.51.100.1", "203.0.113.1", "2001:db8:1::1"] {
            let error = netlink.route_to(ip(nowhere), None).await.expect_err("there is no route");
            assert!(error.to_string().starts_with(&format!("no route to {nowhere} (")), "{error}");
        }
    });
}

#[test]
fn neighbours_are_resolved_kept_and_let_go() {
    let Some((near, _far)) = pair("neighbours_are_resolved_kept_and_let_go") else { return };
    near.ip("neigh add 10.9.0.7 dev near lladdr 02:00:00:00:00:07 nud permanent");
    near.block_on(|| async {
        let netlink = Netlink::open().expect("netlink opens");
        let index = netlink.facts().await.expect("facts").by_name("near").expect("the veth is there").index;
        let hop = |text| NextHop { interface: index, address: ip(text) };
        let mut events = watch().expect("the groups can be joined");
        let mut neighbours = Neighbours::new(netlink.clone());
        neighbours.want(BTreeSet::from([hop("10.9.0.2"), hop("10.9.0.7"), hop("10.9.0.9")]));
        let refreshed = neighbours.refresh().await.expect("neighbours can be read");
        assert!(refreshed.refused.is_empty(), "{:?}", refreshed.refused);
        let permanent = refreshed.neighbours[&hop("10.9.0.7")];
        assert_eq!((permanent.state, permanent.mac), (State::Fixed, Some([2, 0, 0, 0, 0, 7])), "left alone");
        let reachable = |event| match event {
            Event::Neighbour(entry) if entry.next_hop == hop("10.9.0.2") && entry.mac.is_some() => {
                Some(entry)
            }
            _ => None,
        };
        let table = netlink.neighbours().await.expect("neighbours can be read");
        let entry = match table[&hop("10.9.0.2")] {
            entry if entry.mac.is_some() => entry,
            _ => wait_for(&mut events, "10.9.0.2 answers", reachable).await,
        };
        assert_eq!((entry.mac, entry.ours), (Some([2, 0, 0, 0, 0, 2]), true));
        wait_for(&mut events, "nobody is 10.9.0.9", |event| match event {
            Event::Neighbour(entry) if entry.next_hop == hop("10.9.0.9") && entry.state == State::Failed => {
                Some(())
            }
            _ => None,
        })
        .await;
        assert_eq!(
            neighbours.kernel_manages(),
            Some(entry.managed),
            "an old kernel is noticed by reading back"
        );

        neighbours.want(BTreeSet::new());
        neighbours.refresh().await.expect("neighbours can be read");
        let table = netlink.neighbours().await.expect("neighbours can be read");
        assert!(!table[&hop("10.9.0.2")].managed, "let go");
        assert!(table[&hop("10.9.0.2")].mac.is_some(), "and not deleted");
        assert_eq!(table[&hop("10.9.0.7")].state, State::Fixed, "and the administrator's own left alone");
    });
}

#[test]
fn the_kernel_verifies_managed_neighbours_without_traffic() {
    let Some((near, _far)) = pair("the_kernel_verifies_managed_neighbours_without_traffic") else { return };
    near.run(|| {
        for (name, value) in [("base_reachable_time_ms", "1000"), ("delay_first_probe_time", "1")] {
            let path = format!("/proc/sys/net/ipv4/neigh/near/{name}");
            std::fs::write(path, value).expect("root may write the sysctls of its namespace");
        }
    });
    near.block_on(|| async {
        let netlink = Netlink::open().expect("netlink opens");
        let index = netlink.facts().await.expect("facts").by_name("near").expect("the veth is there").index;
        let hop = NextHop { interface: index, address: ip("10.9.0.2") };
        let mut events = watch().expect("the groups can be joined");
        let mut neighbours = Neighbours::new(netlink);
        neighbours.want(BTreeSet::from([hop]));
        neighbours.refresh().await.expect("neighbours can be read");
        if neighbours.kernel_manages() == Some(false) {
            println!("skipped the rest: the kernel is older than 5.16 and manages no neighbours");
            return;
        }
        let state = |wanted| {
            move |event| match event {
                Event::Neighbour(entry) if entry.next_hop == hop && entry.state == wanted => Some(()),
                _ => None,
            }
        };
        for round in 0..2 {
            wait_for(&mut events, &format!("round {round}: it is verified"), state(State::Probe)).await;
            wait_for(&mut events, &format!("round {round}: it answers"), state(State::Reachable)).await;
        }
    });
}

#[test]
fn a_lost_carrier_is_told_and_a_refresh_brings_the_neighbour_back() {
    let Some((near, far)) = pair("a_lost_carrier_is_told") else { return };
    let far = std::sync::Arc::new(far);
    near.block_on(move || async move {
        let netlink = Netlink::open().expect("netlink opens");
        let index = netlink.facts().await.expect("facts").by_name("near").expect("the veth is there").index;
        let hop = NextHop { interface: index, address: ip("10.9.0.2") };
        let mut events = watch().expect("the groups can be joined");
        let mut neighbours = Neighbours::new(netlink);
        neighbours.want(BTreeSet::from([hop]));
        neighbours.refresh().await.expect("neighbours can be read");
        far.ip("link set far down");
        let link = |running| {
            move |event| match event {
                Event::Link(link) if link.index == index && link.running == running => Some(()),
                _ => None,
            }
        };
        // The kernel flushes the neighbours first and tells of the link then.
        wait_for(&mut events, "the neighbour is gone", |event| {
            (event == Event::NeighbourRemoved(hop)).then_some(())
        })
        .await;
        wait_for(&mut events, "the carrier is lost", link(false)).await;
        far.ip("link set far up");
        wait_for(&mut events, "the carrier is back", link(true)).await;
        neighbours.refresh().await.expect("neighbours can be read");
        let table = neighbours.refresh().await.expect("neighbours can be read").neighbours;
        assert!(table.contains_key(&hop), "it is wanted and so it is there again");
    });
}

#[test]
fn addresses_routes_and_links_are_told() {
    let Some((near, _far)) = pair("addresses_routes_and_links_are_told") else { return };
    near.block_on(|| async {
        let mut events = watch().expect("the groups can be joined");
        let command = |arguments: &'static str| {
            let status = std::process::Command::new("ip").args(arguments.split(' ')).status();
            assert!(status.expect("iproute2 is installed").success(), "ip {arguments}");
        };
        command("addr add 10.9.1.1/24 dev near");
        wait_for(&mut events, "the address is added", |event| match event {
            Event::AddressAdded { address, .. } if address.address == ip("10.9.1.1") => Some(()),
            _ => None,
        })
        .await;
        wait_for(&mut events, "its route is new", |event| (event == Event::RoutesChanged).then_some(()))
            .await;
        command("addr del 10.9.1.1/24 dev near");
        wait_for(&mut events, "the address is gone", |event| match event {
            Event::AddressRemoved { address, .. } if address.address == ip("10.9.1.1") => Some(()),
            _ => None,
        })
        .await;
        command("link del near");
        wait_for(&mut events, "the link is gone", |event| match event {
            Event::LinkRemoved { name, .. } if name == "near" => Some(()),
            _ => None,
        })
        .await;
    });
}

#[test]
fn a_reader_that_is_too_slow_is_told_to_resync() {
    let Some(near) = namespace_or_skip("a_reader_that_is_too_slow_is_told_to_resync") else { return };
    near.block_on(|| async {
        let mut events = watch().expect("the groups can be joined");
        let lines: Vec<_> =
            (0..3000).map(|n| format!("addr add 10.{}.{}.1/32 dev lo\n", n / 250, n % 250)).collect();
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(file.path(), lines.concat()).expect("the file can be written");
        let status = tokio::process::Command::new("ip").arg("-batch").arg(file.path()).status().await;
        assert!(status.expect("iproute2 is installed").success());
        wait_for(&mut events, "resync", |event| (event == Event::Resync).then_some(())).await;
    });
}

#[test]
fn the_fib_is_prepared_and_restored() {
    let Some(near) = namespace_or_skip("the_fib_is_prepared_and_restored") else { return };
    near.run(|| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/{name}")).expect("a sysctl");
        assert_eq!(read("ipv4/conf/lo/forwarding"), "0\n", "a new namespace does not forward");
        let missing = || FibSysctls::missing().expect("root may read sysctls");
        let first = missing();
        assert_eq!(first.names().next(), Some("net.ipv4.conf.lo.forwarding"));
        first.set().expect("root may write sysctls");
        assert_eq!(read("ipv4/conf/lo/forwarding"), "1\n");
        assert_eq!(read("ipv4/ip_forward"), "0\n", "the host is no router");
        assert_eq!(read("ipv4/conf/all/forwarding"), "0\n", "the host is no router");
        let second = missing();
        assert_eq!(second.names().count(), 0, "what is set already is left alone");
        second.restore().expect("nothing to put back");
        assert_eq!(read("ipv4/conf/lo/forwarding"), "1\n");
        // What is pinned is a number.
        let remembered = FibSysctls::from_bits(first.and(second).bits());
        remembered.restore().expect("root may write sysctls");
        assert_eq!(read("ipv4/conf/lo/forwarding"), "0\n");
    });
}
