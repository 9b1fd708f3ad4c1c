use super::*;

const VIP: &str = "192.0.2.10";
const VIP_V6: &str = "2001:db8::10";
const ATTACH: &str = "xdplb decap …";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("the test holds addresses")
}

fn address(text: &str) -> Address {
    let (address, prefix) = text.split_once('/').expect("the test holds prefixes");
    let prefix_len = prefix.parse().expect("the test holds prefixes");
    Address { address: ip(address), prefix_len, scope: Scope::Global, secondary: false, unusable: false }
}

fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    Interface {
        index,
        name: name.into(),
        mac: None,
        mtu: 9000,
        up: true,
        carrier: true,
        running: true,
        loopback: name == "lo",
        kind: None,
        driver: None,
        lower: None,
        controller: None,
        addresses: addresses.iter().map(|text| address(text)).collect(),
    }
}

/// A host, and what is wanted of it: all is well until a test changes something.
struct Case {
    facts: Facts,
    conduct: Conduct,
    far_interface: Option<u32>,
    segment: [Option<u32>; 2],
    attached: Option<Pinned>,
    tunnels: Tunnels,
}

impl Case {
    fn new() -> Self {
        let interfaces = [
            interface(1, "lo", &["127.0.0.1/8", "192.0.2.10/32", "2001:db8::10/128"]),
            interface(2, "eth0", &["192.0.2.21/24", "2001:db8::21/64"]),
            interface(3, "eth1", &["10.0.0.21/24"]),
        ];
        let tunnels = Tunnels { vips: [ip(VIP), ip(VIP_V6)].into(), gue_port: 6080 };
        Self {
            facts: Facts { interfaces: interfaces.into_iter().map(|one| (one.index, one)).collect() },
            conduct: Conduct { arp_ignore: 1, arp_announce: 2, rp_filter: 1, merges_segments: false },
            far_interface: Some(2),
            segment: [None; 2],
            attached: Some(Pinned { interfaces: vec!["eth0".into()], tunnels: tunnels.clone() }),
            tunnels,
        }
    }

    fn interface(&mut self, name: &str) -> &mut Interface {
        self.facts.interfaces.values_mut().find(|one| one.name == name).expect("the interface is there")
    }

    /// The findings as `what; run`, those that do not block marked.
    fn found(&self) -> Vec<String> {
        let wanted = Wanted {
            interfaces: vec![self.facts.by_name("eth0").expect("eth0 is there")],
            tunnels: &self.tunnels,
            attach: ATTACH.into(),
        };
        let names = self.facts.interfaces.values().map(|one| one.name.clone());
        let host = Host {
            facts: &self.facts,
            conduct: names.map(|name| (name, self.conduct)).collect(),
            far_interface: self.far_interface,
            segment: self.segment,
            attached: Attached::Known(self.attached.clone()),
        };
        let shown = |Finding { blocks, what, run }: Finding| {
            format!("{}{what}; {run}", if blocks { "" } else { "note: " })
        };
        findings(&wanted, &host).into_iter().map(shown).collect()
    }

    #[track_caller]
    fn finds(&self, expected: &[&str]) {
        assert_eq!(self.found(), expected);
    }
}

#[test]
fn a_controller_that_has_everything_is_ready() {
    Case::new().finds(&[]);
}

#[test]
fn a_vip_is_alone_on_a_loopback_or_a_dummy() {
    let mut case = Case::new();
    case.interface("lo").addresses.truncate(1);
    case.finds(&[
        "no interface has 192.0.2.10, so nothing here answers for it; ip addr add 192.0.2.10/32 dev lo",
        "no interface has 2001:db8::10, so nothing here answers for it; ip addr add 2001:db8::10/128 dev lo",
    ]);

    case.interface("eth0").addresses.extend([address("192.0.2.10/24"), address("2001:db8::10/64")]);
    case.finds(&[
        "192.0.2.10 is on eth0, where its neighbours are told so; \
         ip addr del 192.0.2.10/24 dev eth0 && ip addr add 192.0.2.10/32 dev lo",
        "2001:db8::10 is on eth0, where its neighbours are told so; \
         ip addr del 2001:db8::10/64 dev eth0 && ip addr add 2001:db8::10/128 dev lo",
    ]);

    let mut case = Case::new();
    case.interface("lo").addresses[1].prefix_len = 24;
    case.finds(&["192.0.2.10 has the prefix /24 on lo; \
                  ip addr del 192.0.2.10/24 dev lo && ip addr add 192.0.2.10/32 dev lo"]);

    let mut case = Case::new();
    let vips = case.interface("lo").addresses.split_off(1);
    let mut dummy = Interface { kind: Some("dummy".into()), ..interface(4, "vips", &[]) };
    dummy.addresses = vips;
    case.facts.interfaces.insert(4, dummy);
    case.finds(&[]);
    case.interface("vips").up = false;
    case.finds(&[
        "vips with 192.0.2.10 is down; ip link set dev vips up",
        "vips with 2001:db8::10 is down; ip link set dev vips up",
    ]);
}

#[test]
fn the_segment_hears_nothing_of_the_vip() {
    const ANSWERS: &str = "eth0 answers ARP for 192.0.2.10, and takes it from the balancer; \
                           sysctl -w net.ipv4.conf.eth0.arp_ignore=1";
    const ASKS: &str =
        "eth0 asks for its neighbours in the name of a VIP; sysctl -w net.ipv4.conf.eth0.arp_announce=2";
    // The values of the kernel's documentation (networking/ip-sysctl), and whether they hide a VIP of global scope.
    for (ignore, hidden) in [(0, false), (1, true), (2, true), (3, false), (4, false), (8, true)] {
        let mut case = Case::new();
        case.conduct.arp_ignore = ignore;
        case.finds(if hidden { &[] } else { &[ANSWERS] });
    }
    for (announce, discreet) in [(0, false), (1, false), (2, true)] {
        let mut case = Case::new();
        case.conduct.arp_announce = announce;
        case.finds(if discreet { &[] } else { &[ASKS] });
    }
    let mut case = Case::new();
    case.conduct.arp_ignore = 3;
    case.interface("lo").addresses[1].scope = Scope::Host;
    case.finds(&[]);

    // A VIP of another subnet nobody asks for here, but questions would still bear it.
    let mut case = Case::new();
    case.conduct = Conduct { arp_ignore: 0, arp_announce: 0, ..case.conduct };
    case.interface("eth0").addresses[0] = address("198.51.100.21/24");
    case.finds(&[ASKS]);
    // IPv6 tells nobody of an address on another interface.
    case.tunnels.vips.remove(&ip(VIP));
    case.finds(&[]);
}

#[test]
fn an_interface_with_a_dot_has_its_sysctls_by_path() {
    assert_eq!(sysctl("eth0.7", "arp_ignore", 1), "sysctl -w net/ipv4/conf/eth0.7/arp_ignore=1");
}

#[test]
fn a_strict_filter_matters_where_the_way_back_is_another() {
    let mut case = Case::new();
    case.far_interface = Some(3);
    let strict = "eth0 drops the packets of clients, who are answered by eth1 (rp_filter is 1); \
                  sysctl -w net.ipv4.conf.eth0.rp_filter=2";
    case.finds(&[strict]);
    for other in [0, 2] {
        case.conduct.rp_filter = other;
        case.finds(&[]);
    }
    // Clients on the VIP's own segment, which is another.
    let mut case = Case::new();
    case.far_interface = None;
    case.interface("eth0").addresses[0] = address("10.0.1.21/24");
    case.interface("eth1").addresses[0] = address("192.0.2.22/24");
    case.finds(&[strict]);
    case.tunnels.vips.remove(&ip(VIP));
    case.finds(&[]);
}

#[test]
fn a_full_packet_fits_into_its_tunnel_or_is_not_sent() {
    let lacks = |mtu: u32, overhead: u32, segment: u32| {
        format!(
            "eth0 carries {mtu} bytes, and a tunnel adds up to {overhead} to a client's 1500: give it, the balancers and the \
             switches between them room, or let the routes to the clients announce segments of {segment} (advmss); \
             ip link set dev eth0 mtu {}",
            1500 + overhead
        )
    };
    let mut case = Case::new();
    for (mtu, finding) in [(1547, Some(lacks(1547, 48, 1439))), (1548, None)] {
        case.interface("eth0").mtu = mtu;
        case.finds(&finding.iter().map(String::as_str).collect::<Vec<_>>());
    }
    case.tunnels.vips.remove(&ip(VIP_V6));
    for (mtu, finding) in
        [(1500, Some(lacks(1500, 28, 1432))), (1527, Some(lacks(1527, 28, 1459))), (1528, None)]
    {
        case.interface("eth0").mtu = mtu;
        case.finds(&finding.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // What the finding tells to announce is enough, and a byte more is not.
    case.interface("eth0").mtu = 1500;
    case.segment = [Some(1432), None];
    case.finds(&[]);
    case.segment = [Some(1433), None];
    case.finds(&[&lacks(1500, 28, 1432)]);
}

#[test]
fn what_merges_is_a_note() {
    let mut case = Case::new();
    case.conduct.merges_segments = true;
    case.finds(&["note: the device of eth0 merges segments (LRO), which native XDP does not take; ethtool -K eth0 lro off"]);
}

#[test]
fn the_program_is_where_it_should_be_and_knows_the_vips() {
    let mut case = Case::new();
    case.interface("eth0").up = false;
    case.finds(&["eth0 is down; ip link set dev eth0 up"]);

    let mut case = Case::new();
    case.attached.as_mut().expect("it is attached").tunnels.vips.remove(&ip(VIP_V6));
    case.finds(&["the program does not know 2001:db8::10; xdplb decap …"]);
    case.tunnels.gue_port = 6081;
    case.finds(&["gue is awaited on port 6080; xdplb decap …"]);
    case.attached.as_mut().expect("it is attached").interfaces[0] = "eth1".into();
    case.finds(&["nothing on eth0 takes packets out of tunnels; xdplb decap …"]);
    case.attached = None;
    case.finds(&["nothing on eth0 takes packets out of tunnels; xdplb decap …"]);
}
