//! What holds for every text: nothing panics, an error is one line, what is printed parses back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::render::render;
use super::super::{AdminState, BackendChange, Config};
use super::{SHORT, line, parse, right};
use crate::config::edit::changed_text;

/// Lines of which some are right, in any order: closer to a configuration than noise is.
fn written() -> impl Strategy<Value = String> {
    let keys = [
        "interfaces",
        "vips",
        "mode",
        "xdp_mode",
        "log_drops",
        "snat_addresses",
        "snat_ports",
        "cluster_key_file",
        "slow_start",
        "drain_timeout",
        "fail_open",
        "when_down",
        "probe",
        "limits",
        "timeouts",
        "backends",
        "services",
        "name",
        "address",
        "addresses",
        "weight",
        "state",
        "port",
        "backend_port",
        "policy",
        "interval",
        "timeout",
        "fall",
        "rise",
        "probe_interval",
        "probe_fall",
        "flow_table",
        "established",
        "colour",
    ];
    let values = [
        "[\"eth0\"]",
        "\"nat\"",
        "\"10.0.0.11\"",
        "[\"10.0.0.11\"]",
        "[\"2001:db8::1\"]",
        "3",
        "-1",
        "6443",
        "\"2s\"",
        "\"enabled\"",
        "\"a\"",
        "[\"a\"]",
        "{ name = \"a\" }",
        "[{ address = \"10.0.0.12\" }]",
        "[]",
        "[10000, 29999]",
        "true",
        "\"keep\"",
        "1.5",
        "\"tcp\"",
        "\"follow:a\"",
        "1979-05-27",
        "\"\\u0000\\n\"",
        "{}",
        "[[]]",
    ];
    let headers =
        ["[probe]", "[limits]", "[timeouts]", "[[backends]]", "[[services]]", "[backends]", "[x]", ""];
    prop_oneof![
        4 => (prop::sample::select(keys.to_vec()), prop::sample::select(values.to_vec()))
            .prop_map(|(key, value)| format!("{key} = {value}")),
        1 => prop::sample::select(headers.to_vec()).prop_map(str::to_owned),
        1 => ".{0,20}",
    ]
}

/// An address that other hosts reach, a different one for each number.
fn address(number: u16, v6: bool) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number).into()
    } else {
        Ipv4Addr::new(10, 0, high, low).into()
    }
}

/// Configurations that are right.
fn config() -> impl Strategy<Value = Config> {
    let backend = (any::<bool>(), 1..=255u8, 0..3usize);
    let backends = prop::collection::vec(backend, 1..6);
    (backends, any::<bool>(), any::<bool>(), 1..=30u32, 1024..=65536u32, 0..5usize).prop_map(
        |(backends, with_vips, with_snat, fall, flows, services)| {
            let mut text = "interfaces = [\"eth0\", \"eth1\"]\n".to_owned();
            if with_vips {
                line(&mut text, "vips = [\"192.0.2.10\"]");
            }
            if with_snat {
                line(&mut text, "snat_addresses = [\"192.0.2.11\"]\nsnat_ports = [9999, 29999]");
            }
            line(&mut text, format_args!("probe.fall = {fall}\nprobe.interval = \"{fall}500ms\""));
            line(&mut text, format_args!("limits.flow_table = {flows}"));
            if with_vips != with_snat {
                line(&mut text, format_args!("slow_start = \"{fall}s\"\ndrain_timeout = \"{fall}h\""));
                line(&mut text, "fail_open = false\nwhen_down = \"keep\"");
            }
            for (number, (both, weight, state)) in (1..).zip(backends) {
                let state = [AdminState::Enabled, AdminState::Draining, AdminState::Disabled][state];
                line(&mut text, format_args!("[[backends]]\nname = \"b{number}\"\nweight = {weight}"));
                line(&mut text, format_args!("state = \"{state}\""));
                let v4 = address(number, false);
                if both {
                    let v6 = address(number, true);
                    line(&mut text, format_args!("addresses = [\"{v6}\", \"{v4}\"]"));
                } else {
                    line(&mut text, format_args!("address = \"{v4}\""));
                }
            }
            for number in 1..=services {
                line(&mut text, format_args!("[[services]]\nname = \"s{number}\"\nport = {number}"));
                line(&mut text, "backends = [\"b1\"]");
                if number == 1 {
                    line(&mut text, format_args!("probe_interval = \"{fall}00ms\"\nprobe_fall = {fall}"));
                }
                if number > 1 {
                    line(&mut text, "probe = \"follow:s1\"\nvips = [\"192.0.2.12\"]");
                    line(&mut text, "policy = \"spread\"\nslow_start = \"1s\"\nfail_open = true");
                }
            }
            right(&text)
        },
    )
}

fn change() -> impl Strategy<Value = BackendChange> {
    let name = (1..8u16).prop_map(|number| format!("b{number}"));
    let state = prop::sample::select(vec![AdminState::Enabled, AdminState::Draining, AdminState::Disabled]);
    prop_oneof![
        (name.clone(), 1..20u16, any::<bool>(), prop::option::of(any::<u8>())).prop_map(
            |(name, number, v6, weight)| BackendChange::Add { name, address: address(number, v6), weight }
        ),
        name.clone().prop_map(|name| BackendChange::Remove { name }),
        (name.clone(), state).prop_map(|(name, state)| BackendChange::SetState { name, state }),
        (name, any::<u8>()).prop_map(|(name, weight)| BackendChange::SetWeight { name, weight }),
    ]
}

/// Parses, and holds the error to its promise.
fn one_line(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = parse(text) {
        let told = error.to_string();
        prop_assert!(!told.contains(char::is_control), "more than one line: {told:?}");
        prop_assert!(told.starts_with("xdplb.toml:"), "no place: {told:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn noise_is_refused_in_one_line(text in any::<String>()) {
        one_line(&text)?;
    }

    #[test]
    fn nearly_right_lines_are_refused_in_one_line(lines in prop::collection::vec(written(), 0..12)) {
        one_line(&lines.join("\n"))?;
    }

    #[test]
    fn a_file_with_a_hole_is_refused_in_one_line(from in 0..SHORT.len(), length in 0..40usize, put in ".{0,3}") {
        let end = (from + length).min(SHORT.len());
        one_line(&format!("{}{put}{}", &SHORT[..from], &SHORT[end..]))?;
    }

    #[test]
    fn what_check_prints_parses_back(config in config()) {
        prop_assert_eq!(right(&render(&config)), config);
    }

    #[test]
    fn an_edit_says_in_the_file_what_it_says_in_memory(
        config in config(),
        changes in prop::collection::vec(change(), 1..8),
    ) {
        let (mut config, mut text) = (config.clone(), render(&config));
        for change in changes {
            let Ok(Some(next)) = config.changed(&change) else { continue };
            text = changed_text(&text, &config, &change).expect("what check prints can be edited");
            prop_assert_eq!(&right(&text), &next, "after {:?}", change);
            config = next;
        }
    }
}
