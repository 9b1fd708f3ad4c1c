//! What is refused for its shape or for one value, with the line that is told.

use std::fmt::Write;

use super::parse;

/// Puts lines on top of, or below, a file that is right.
pub(super) fn around(top: &str, below: &str) -> String {
    format!("interfaces = [\"eth0\"]\n{top}\n[[backends]]\nname = \"a\"\naddress = \"10.0.0.11\"\n{below}\n")
}

pub(super) fn top(lines: &str) -> String {
    around(lines, "")
}

pub(super) fn below(lines: &str) -> String {
    around("vips = [\"192.0.2.10\"]", lines)
}

/// Parses every text of a table and compares the whole line.
pub(super) fn all_refused(table: &[(String, &str)]) {
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
            r#"xdplb.toml:2:1: unknown key "colour"; remove it, the keys here are interfaces, vips, mode, xdp_mode, log_drops, snat_addresses, snat_ports, cluster_key_file, slow_start, drain_timeout, fail_open, when_down, probe, limits, timeouts, backends, services"#,
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
            top("log_drops = \"yes\""),
            r#"xdplb.toml:2:13: invalid type: string "yes"; log_drops takes true or false"#,
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
        (top("mode = \"dsr-l2\""), r#"xdplb.toml:2:8: mode "dsr-l2" is not in this version yet; use "nat""#),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\nmode = \"dsr-gue\""),
            r#"xdplb.toml:9:8: mode "dsr-gue" is not in this version yet; use "nat""#,
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
            top("snat_ports = \"10000-14094\""),
            "xdplb.toml:2:14: snat_ports 10000-14094 are 4095 ports; give at least 4096",
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
            r#"xdplb.toml:2:14: port 9443 of "controller-join" is within snat_ports (9000-29999); write snat_ports = "9444-29999" or move the service"#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 16443"),
            r#"xdplb.toml:8:8: port 16443 of "s" is within snat_ports (10000-29999); write snat_ports = "1024-16442" or move the service"#,
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
            r#"xdplb.toml:9:9: probe = "ping" is not possible; give "tcp", "tls", "https" or "follow:SERVICE""#,
        ),
        (
            below("[[services]]\nname = \"s\"\nport = 6443\nprobe = \"follow:\""),
            r#"xdplb.toml:9:9: probe = "follow:" is not possible; give "tcp", "tls", "https" or "follow:SERVICE""#,
        ),
        (below("[[services]]\nname = \"s\""), "xdplb.toml:7:8: the service has no port; add it"),
        (below("[[services]]\nport = 6443"), "xdplb.toml:6:1: the service has no name; add it"),
    ]);
}
