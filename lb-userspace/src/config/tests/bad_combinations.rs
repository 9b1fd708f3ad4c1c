//! What is refused because it does not go together, with the line that is told.

use super::super::{Config, Mode, Overrides};
use super::bad_input::{all_refused, around, below, top};

#[test]
fn interfaces_and_vips() {
    all_refused(&[
        (
            "[[backends]]\naddress = \"10.0.0.1\"".to_owned(),
            r#"xdplb.toml: no interface is given; add interfaces = ["eth0"] at the top"#,
        ),
        (
            "interfaces = []".to_owned(),
            r#"xdplb.toml: no interface is given; add interfaces = ["eth0"] at the top"#,
        ),
        (
            "interfaces = [\"eth 0\"]".to_owned(),
            r#"xdplb.toml:1:15: "eth 0" cannot be the name of an interface; `ip -br link` lists them"#,
        ),
        (
            "interfaces = [\"eth0\", \"eth0\"]\nbackends = [{ address = \"10.0.0.1\" }]".to_owned(),
            "xdplb.toml:1:23: the interface eth0 is given twice; remove one of the two",
        ),
        (
            top("vips = []"),
            "xdplb.toml:2:8: vips is empty; add an entry or leave the key out for the default",
        ),
        (
            top("vips = [\"192.0.2.300\"]"),
            r#"xdplb.toml:2:9: "192.0.2.300" is not an IP address; vips takes addresses such as "192.0.2.10" or "2001:db8::10""#,
        ),
        (
            top("vips = [\"192.0.2.10/24\"]"),
            r#"xdplb.toml:2:9: "192.0.2.10/24" is not an IP address; vips takes addresses such as "192.0.2.10" or "2001:db8::10""#,
        ),
        (
            top("vips = [\"192.0.2.10\", \"192.0.2.10\"]"),
            "xdplb.toml:2:23: the VIP 192.0.2.10 is given twice; remove one of the two",
        ),
        (
            top("vips = [\"224.0.0.1\"]"),
            "xdplb.toml:2:9: 224.0.0.1 is a multicast address and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"127.0.0.1\"]"),
            "xdplb.toml:2:9: 127.0.0.1 is a loopback address and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"0.0.0.0\"]"),
            "xdplb.toml:2:9: 0.0.0.0 is the unspecified address and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"255.255.255.255\"]"),
            "xdplb.toml:2:9: 255.255.255.255 is the broadcast address and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"fe80::1\"]"),
            "xdplb.toml:2:9: fe80::1 is a link-local address and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"::ffff:192.0.2.10\"]"),
            "xdplb.toml:2:9: ::ffff:192.0.2.10 is an IPv4 address in IPv6 spelling and cannot be used for a VIP; give an address that other hosts reach",
        ),
        (
            top("vips = [\"2001:db8::10\"]"),
            "xdplb.toml:2:9: no backend has an IPv6 address for the VIP 2001:db8::10; give a backend one or remove the VIP",
        ),
        (
            top("vips = [\"10.0.0.11\"]"),
            r#"xdplb.toml:2:9: 10.0.0.11 is a VIP and the address of the backend "a"; give one of them another address"#,
        ),
    ]);
}

#[test]
fn backends() {
    all_refused(&[
        (
            "interfaces = [\"eth0\"]".to_owned(),
            "xdplb.toml: no backend is given; add a [[backends]] table with an address",
        ),
        (
            below("[[backends]]\nname = \"a\"\naddress = \"10.0.0.12\""),
            "xdplb.toml:7:8: the backend a is given twice; remove one of the two",
        ),
        (
            below("[[backends]]\nname = \"b\"\naddress = \"10.0.0.11\""),
            r#"xdplb.toml:8:11: 10.0.0.11 is the address of two backends, "a" and "b"; remove one of them"#,
        ),
        (
            below("[[backends]]\nname = \"b\""),
            r#"xdplb.toml:7:8: the backend has no address; add address = "IP""#,
        ),
        (
            below("[[backends]]\nname = \"b c\"\naddress = \"10.0.0.12\""),
            r#"xdplb.toml:7:8: "b c" cannot be a name; use 1 to 63 letters, digits, and any of - _ . :"#,
        ),
        (
            below("[[backends]]\nname = \"b\"\naddress = \"::1\""),
            "xdplb.toml:8:11: ::1 is a loopback address and cannot be used for a backend; give an address that other hosts reach",
        ),
        (
            below("addresses = [\"10.0.0.12\"]"),
            r#"xdplb.toml:6:13: the backend "a" has address and addresses; keep one of the two"#,
        ),
        (
            below("[[backends]]\nname = \"b\"\naddresses = []"),
            "xdplb.toml:8:13: addresses is empty; add an entry or leave the key out for the default",
        ),
        (
            below("[[backends]]\nname = \"b\"\naddresses = [\"10.0.0.12\", \"10.0.0.13\"]"),
            r#"xdplb.toml:8:27: the backend "b" has two IPv4 addresses; make it two backends"#,
        ),
        (
            below("[[backends]]\nname = \"b\"\naddresses = [\"10.0.0.12\", \"10.0.0.12\"]"),
            r#"xdplb.toml:8:27: the backend "b" has two IPv4 addresses; make it two backends"#,
        ),
        (
            top("snat_addresses = [\"192.0.2.10\", \"192.0.2.11\"]"),
            "xdplb.toml:2:33: snat_addresses has two IPv4 addresses; keep one a family",
        ),
        (
            top("snat_addresses = [\"10.0.0.11\"]"),
            r#"xdplb.toml:2:19: 10.0.0.11 is a SNAT address and the address of the backend "a"; give another"#,
        ),
        (
            top("snat_addresses = [\"127.0.0.2\"]"),
            "xdplb.toml:2:19: 127.0.0.2 is a loopback address and cannot be used for snat_addresses; give an address that other hosts reach",
        ),
    ]);
}

#[test]
fn services() {
    let api = "[[services]]\nname = \"api\"\nport = 6443\n";
    let other = |lines: &str| below(&format!("{api}[[services]]\nname = \"other\"\n{lines}"));
    all_refused(&[
        (
            top("services = []"),
            "xdplb.toml:2:12: services is empty; add an entry or leave the key out for the default",
        ),
        (
            below(&format!("{api}{api}")),
            "xdplb.toml:10:8: the service api is given twice; remove one of the two",
        ),
        (
            other("port = 6443"),
            r#"xdplb.toml:11:8: port 6443 of 192.0.2.10 belongs to "api" and "other"; give one of them another port or VIP"#,
        ),
        (
            around("", &format!("{api}[[services]]\nname = \"other\"\nport = 6443")),
            r#"xdplb.toml:11:8: port 6443 of the default VIP belongs to "api" and "other"; give one of them another port or VIP"#,
        ),
        (
            other("port = 6443\nvips = [\"192.0.2.10\"]"),
            r#"xdplb.toml:11:8: port 6443 of 192.0.2.10 belongs to "api" and "other"; give one of them another port or VIP"#,
        ),
        (
            other("port = 1\nvips = []"),
            "xdplb.toml:12:8: vips is empty; add an entry or leave the key out for the default",
        ),
        (
            other("port = 1\nvips = [\"2001:db8::10\"]"),
            r#"xdplb.toml:12:9: no backend of the service "other" has an IPv6 address for the VIP 2001:db8::10; give a backend one or remove the VIP"#,
        ),
        (
            other("port = 1\nvips = [\"10.0.0.11\"]"),
            r#"xdplb.toml:12:9: 10.0.0.11 is a VIP and the address of the backend "a"; give one of them another address"#,
        ),
        (
            other("port = 1\nbackends = []"),
            r#"xdplb.toml:12:12: no backend is left for the service "other"; name one in its backends or leave that key out for all"#,
        ),
        (
            other("port = 1\nbackends = [\"a\", \"a\"]"),
            "xdplb.toml:12:18: the backend a is given twice; remove one of the two",
        ),
        (
            other("port = 1\nbackends = [\"controller-1\"]"),
            r#"xdplb.toml:12:13: there is no backend "controller-1"; there is only "a""#,
        ),
        (
            other("port = 1\nprobe = \"follow:apii\""),
            r#"xdplb.toml:12:9: "other" follows "apii", which is not a service; did you mean "api"?"#,
        ),
        (
            other("port = 1\nprobe = \"follow:other\""),
            r#"xdplb.toml:12:9: "other" follows "other", which follows too; name a service with a probe of its own"#,
        ),
        (
            below(&format!(
                "[[backends]]\nname = \"b\"\naddress = \"10.0.0.12\"\n{api}backends = [\"a\"]\n\
                 [[services]]\nname = \"other\"\nport = 1\nprobe = \"follow:api\""
            )),
            r#"xdplb.toml:16:9: "other" follows "api", which does not probe "b"; give both the same backends"#,
        ),
        (
            below(&format!(
                "[[backends]]\nname = \"six\"\naddress = \"2001:db8::11\"\n{api}backends = [\"six\"]"
            )),
            r#"xdplb.toml:10:8: no backend is left for the service "api"; name one in its backends or leave that key out for all"#,
        ),
    ]);
}

#[test]
fn more_than_the_tables_hold() {
    let list = |what: std::ops::Range<u32>, entry: &dyn Fn(u32) -> String| {
        what.map(entry).collect::<Vec<_>>().join(", ")
    };
    let ip = |number: u32| format!("\"10.{}.{}.{}\"", 1 + number / 65536, number / 256 % 256, number % 256);
    all_refused(&[
        (
            top(&format!("vips = [{}]", list(0..33, &ip))),
            "xdplb.toml:2:415: 33 VIPs are more than the 32 possible; remove some or run a second agent",
        ),
        (
            format!(
                "interfaces = [{}]\nbackends = [{{ address = \"10.0.0.11\" }}]",
                list(0..65, &|number| format!("\"eth{number}\""))
            ),
            "xdplb.toml:1:581: 65 interfaces are more than the 64 possible; remove some or run a second agent",
        ),
        (
            format!(
                "interfaces = [\"eth0\"]\nbackends = [{}]",
                list(0..4096, &|number| format!("{{ address = {} }}", ip(number)))
            ),
            "xdplb.toml:2:114448: 4096 backend addresses are more than the 4095 possible; remove some or run a second agent",
        ),
        (
            top(&format!(
                "services = [{}]",
                list(1..257, &|port| format!("{{ name = \"s{port}\", port = {port} }}"))
            )),
            "xdplb.toml:2:7711: 256 services are more than the 255 possible; remove some or run a second agent",
        ),
    ]);
}

#[test]
fn flags_are_named_where_there_is_no_file() {
    let flags = |interfaces: &[&str], vips: &[&str], backends: &[&str]| Overrides {
        interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        vips: vips.iter().map(|vip| vip.parse().expect("an address")).collect(),
        backends: backends.iter().map(|backend| backend.parse().expect("a backend")).collect(),
        ..Overrides::default()
    };
    let mode = Overrides { mode: Some(Mode::DsrIpip), ..flags(&["eth0"], &[], &["10.0.0.11"]) };
    for (flags, expected) in [
        (flags(&[], &[], &[]), "no interface is given; add --interface IF or --config FILE"),
        (flags(&["eth0"], &[], &[]), "no backend is given; add --backend IP or --config FILE"),
        (
            flags(&["eth0/1"], &[], &["10.0.0.11"]),
            r#"--interface: "eth0/1" cannot be the name of an interface; `ip -br link` lists them"#,
        ),
        (
            flags(&["eth0"], &["10.0.0.11"], &["a=10.0.0.11"]),
            r#"--vip: 10.0.0.11 is a VIP and the address of the backend "a"; give one of them another address"#,
        ),
        (
            flags(&["eth0"], &["2001:db8::1"], &["10.0.0.11"]),
            "--vip: no backend has an IPv6 address for the VIP 2001:db8::1; give a backend one or remove the VIP",
        ),
        (
            flags(&["eth0"], &[], &["a=10.0.0.11", "a=10.0.0.12"]),
            r#"--backend: the backend "a" has two IPv4 addresses; make it two backends"#,
        ),
        (
            flags(&["eth0"], &[], &["a=10.0.0.11", "b=10.0.0.11"]),
            r#"--backend: 10.0.0.11 is the address of two backends, "a" and "b"; remove one of them"#,
        ),
        (
            flags(&["eth0"], &[], &["a b=10.0.0.11"]),
            r#"--backend: "a b" cannot be a name; use 1 to 63 letters, digits, and any of - _ . :"#,
        ),
        (mode, r#"--mode: mode "dsr-ipip" is not in this version yet; use "nat""#),
    ] {
        let told = Config::from_flags(&flags).err().map(|error| error.to_string());
        assert_eq!(told.as_deref(), Some(expected), "of {flags:?}");
    }
}
