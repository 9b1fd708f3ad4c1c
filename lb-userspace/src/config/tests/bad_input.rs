//! Everything that is refused, with the line that is told.

use std::fmt::Write;

use super::super::{Config, Mode, Overrides};
use super::parse;

/// Puts lines on top of, or below, a file that is right.
fn around(top: &str, below: &str) -> String {
    format!("interfaces = [\"eth0\"]\n{top}\n[[backends]]\nname = \"a\"\naddress = \"10.0.0.11\"\n{below}\n")
}

fn top(lines: &str) -> String {
    around(lines, "")
}

fn below(lines: &str) -> String {
    around("vips = [\"192.0.2.10\"]", lines)
}

/// Parses every text of a table and compares the whole line.
fn all_refused(table: &[(String, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in table {
        let told = parse(text).map_or_else(|error| error.to_string(), |_| "(accepted)".to_owned());
        if told != *expected {
            write!(wrong, "\n{text}\n  told:     {told}\n  expected: {expected}\n")
                .expect("a string takes it");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn shape() {
    all_refused(&[
        (
            top("vips = ["),
            "xdplb.toml:4:1: this is not TOML (missing comma between array elements, expected `,`); correct it here",
        ),
        (top("vip = [\"192.0.2.10\"]"), r#"xdplb.toml:2:1: unknown key "vip"; did you mean "vips"?"#),
        (
            top("colour = \"red\""),
            r#"xdplb.toml:2:1: unknown key "colour"; remove it, the keys here are interfaces, vips, mode, xdp_mode, snat_addresses, snat_ports, cluster_key_file, probe, limits, timeouts, backends, services"#,
        ),
        (
            below("wieght = 3"),
            r#"xdplb.toml:6:1: unknown key "wieght" in [[backends]]; did you mean "weight"?"#,
        ),
        (
            below("colour = 3"),
            r#"xdplb.toml:6:1: unknown key "colour" in [[backends]]; remove it, the keys here are name, address, addresses, weight, state"#,
        ),
        (
            below("[probe]\nintervall = \"2s\""),
            r#"xdplb.toml:7:1: unknown key "intervall" in [probe]; did you mean "interval"?"#,
        ),
        (
            below("[proble]\ninterval = \"2s\""),
            r#"xdplb.toml:6:2: unknown key "proble"; did you mean "probe"?"#,
        ),
        (
            top("mode = 3"),
            r#"xdplb.toml:2:8: invalid type: integer `3`; mode takes "nat" (dsr-l2, dsr-ipip and dsr-gue are not in this version yet)"#,
        ),
        (
            below("weight = \"3\""),
            r#"xdplb.toml:6:10: invalid type: string "3"; weight takes a whole number from 1 to 255"#,
        ),
        (
            top("vips = \"192.0.2.10\""),
            r#"xdplb.toml:2:8: invalid type: string "192.0.2.10"; vips takes a list of IP addresses"#,
        ),
        (top("vips = [4]"), "xdplb.toml:2:9: invalid type: integer `4`; vips takes a list of IP addresses"),
        (
            top("snat_ports = true"),
            r#"xdplb.toml:2:14: invalid type: boolean `true`; snat_ports takes a range of ports, "FROM-TO" or [FROM, TO]"#,
        ),
        (
            top("probe = 3"),
            "xdplb.toml:2:9: probe has the wrong shape; write [probe] on a line of its own and its keys below",
        ),
        (
            top("mode = \"nat\"\nmode = \"nat\""),
            "xdplb.toml:3:1: this is not TOML (duplicate key); correct it here",
        ),
        (
            "interfaces = [\"eth0\"]\nbackends = 3".to_owned(),
            "xdplb.toml:2:12: backends has the wrong shape; write [[backends]] on a line of its own and its keys below",
        ),
        (
            "interfaces = [\"eth0\"]\n[backends]\nname = \"a\"".to_owned(),
            "xdplb.toml:2:1: backends has the wrong shape; write [[backends]] on a line of its own and its keys below",
        ),
        (
            "\u{0}".to_owned(),
            "xdplb.toml:1:2: this is not TOML (key with no value, expected `=`); correct it here",
        ),
    ]);
}

#[test]
fn values_at_the_top() {
    all_refused(&[
        (
            top("mode = \"dsr-l2\""),
            r#"xdplb.toml:2:8: mode "dsr-l2" is not in this version yet; use mode = "nat""#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\nmode = \"dsr-gue\""),
            r#"xdplb.toml:9:8: mode "dsr-gue" is not in this version yet; use mode = "nat""#,
        ),
        (
            top("mode = \"dsr\""),
            r#"xdplb.toml:2:8: mode = "dsr" is not possible; give one of nat, dsr-l2, dsr-ipip, dsr-gue"#,
        ),
        (
            top("xdp_mode = \"fast\""),
            r#"xdplb.toml:2:12: xdp_mode = "fast" is not possible; give one of auto, native, generic"#,
        ),
        (
            top("snat_ports = \"10000\""),
            r#"xdplb.toml:2:14: snat_ports = "10000" is not a range; write it as "10000-29999" or [10000, 29999]"#,
        ),
        (
            top("snat_ports = \"29999-10000\""),
            r#"xdplb.toml:2:14: snat_ports = "29999-10000" is not a range; write it as "10000-29999" or [10000, 29999]"#,
        ),
        (
            top("snat_ports = [10000]"),
            r#"xdplb.toml:2:14: snat_ports = [10000] is not a range; write it as "10000-29999" or [10000, 29999]"#,
        ),
        (
            top("snat_ports = [10000, 99999]"),
            r#"xdplb.toml:2:14: snat_ports = [10000, 99999] is not a range; write it as "10000-29999" or [10000, 29999]"#,
        ),
        (
            top("snat_ports = \"10000-20000\""),
            "xdplb.toml:2:14: snat_ports 10000-20000 are 10001 ports; give at least 20000",
        ),
        (
            top("snat_ports = \"500-29999\""),
            "xdplb.toml:2:14: snat_ports 500-29999 reach into the privileged ports; stay between 1024 and 29999 and off 30000-60999",
        ),
        (
            top("snat_ports = \"10000-30000\""),
            "xdplb.toml:2:14: snat_ports 10000-30000 reach into the NodePort range; stay between 1024 and 29999 and off 30000-60999",
        ),
        (
            top("snat_ports = \"33000-60000\""),
            "xdplb.toml:2:14: snat_ports 33000-60000 reach into the host's ephemeral range; stay between 1024 and 29999 and off 30000-60999",
        ),
        (
            top("snat_ports = \"9000-29999\""),
            r#"xdplb.toml:2:14: port 9443 of "controller-join" is within snat_ports (9000-29999); move the service or the range"#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 16443"),
            r#"xdplb.toml:8:8: port 16443 of "s" is within snat_ports (10000-29999); move the service or the range"#,
        ),
        (
            top("cluster_key_file = \"cluster.key\""),
            r#"xdplb.toml:2:20: cluster_key_file = "cluster.key" is relative; give the whole path from /"#,
        ),
    ]);
}

#[test]
fn values_in_tables() {
    all_refused(&[
        (
            below("[probe]\ninterval = \"2 parsecs\""),
            r#"xdplb.toml:7:12: interval = "2 parsecs" is not possible; give a duration from 100ms to 1h, such as "2s""#,
        ),
        (
            below("[probe]\ninterval = \"1ms\""),
            r#"xdplb.toml:7:12: interval = "1ms" is not possible; give a duration from 100ms to 1h, such as "2s""#,
        ),
        (
            below("[probe]\ntimeout = \"3s\""),
            r#"xdplb.toml:7:11: timeout = "3s" is not possible; give at most the interval, 2s"#,
        ),
        (
            below("[probe]\nfall = 0"),
            "xdplb.toml:7:8: fall = 0 is not possible; give a whole number from 1 to 100",
        ),
        (
            below("[limits]\nflow_table = 100"),
            "xdplb.toml:7:14: flow_table = 100 is not possible; give a whole number from 1024 to 16777216",
        ),
        (
            below("[limits]\nhalf_open_table = 100000000"),
            "xdplb.toml:7:19: half_open_table = 100000000 is not possible; give a whole number from 1024 to 16777216",
        ),
        (
            below("[timeouts]\nestablished = \"0s\""),
            r#"xdplb.toml:7:15: established = "0s" is not possible; give a duration from 1s to 30days, such as "4h""#,
        ),
        (
            below("[timeouts]\ntime_wait = \"1year\""),
            r#"xdplb.toml:7:13: time_wait = "1year" is not possible; give a duration from 1s to 30days, such as "1m""#,
        ),
        (
            below("weight = 0"),
            "xdplb.toml:6:10: weight = 0 is not possible; give a whole number from 1 to 255",
        ),
        (
            below("weight = 256"),
            "xdplb.toml:6:10: weight = 256 is not possible; give a whole number from 1 to 255",
        ),
        (
            below("state = \"drained\""),
            r#"xdplb.toml:6:9: state = "drained" is not possible; give one of enabled, draining, disabled"#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 0"),
            "xdplb.toml:8:8: port = 0 is not possible; give a whole number from 1 to 65535",
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\npolicy = \"random\""),
            r#"xdplb.toml:9:10: policy = "random" is not possible; give one of maglev, spread"#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\nprobe = \"ping\""),
            r#"xdplb.toml:9:9: probe = "ping" is not possible; give "tcp" or "follow:SERVICE""#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\nprobe = \"follow:\""),
            r#"xdplb.toml:9:9: probe = "follow:" is not possible; give "tcp" or "follow:SERVICE""#,
        ),
        (below("[[services]]\nname = \"s\""), "xdplb.toml:7:8: the service has no port; add it"),
        (below("[[services]]\nport = 6443"), "xdplb.toml:6:1: the service has no name; add it"),
    ]);
}

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
        (mode, r#"--mode: mode "dsr-ipip" is not in this version yet; use mode = "nat""#),
    ] {
        let told = Config::from_flags(&flags).err().map(|error| error.to_string());
        assert_eq!(told.as_deref(), Some(expected), "of {flags:?}");
    }
}
