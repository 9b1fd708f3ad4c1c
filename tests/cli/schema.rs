//! `--json` has what the documentation promises, with and without an agent; the global flags stand anywhere.

use anyhow::Result;
use lb_common::counters;
use lb_tests::requirements::{self, LAB};
use serde_json::Value;

use crate::setting::{Setting, answer, xdplb};

/// The value at this path; a number is an index, and the value must be there.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let pointer = format!("/{}", path.replace('.', "/"));
    value.pointer(&pointer).unwrap_or_else(|| panic!("{path} is missing in {value:#}"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

const STATUS: &[(&str, &str)] = &[
    ("version", "string"),
    ("ready", "bool"),
    ("agent.running", "bool"),
    ("agent.since", "string"),
    ("interfaces.0.name", "string"),
    ("interfaces.0.xdp_mode", "string"),
    ("services.0.name", "string"),
    ("services.0.vip", "string"),
    ("services.0.port", "number"),
    ("services.0.mode", "string"),
    ("services.0.policy", "string"),
    ("services.0.backends.0.name", "string"),
    ("services.0.backends.0.health", "string"),
    ("backends.0.name", "string"),
    ("backends.0.address", "string"),
    ("backends.0.weight", "number"),
    ("backends.0.admin", "string"),
    ("backends.0.flows", "number"),
    ("fail_open", "array"),
    ("flow_table.used", "number"),
    ("flow_table.capacity", "number"),
    ("half_open_table.used", "number"),
    ("half_open_table.capacity", "number"),
    ("totals.forwarded_packets", "number"),
    ("warnings", "array"),
];

const FLOW: &[(&str, &str)] = &[
    ("client", "string"),
    ("vip", "string"),
    ("snat", "string"),
    ("backend", "string"),
    ("backend_address", "string"),
    ("state", "string"),
    ("age_s", "number"),
    ("idle_s", "number"),
    ("packets", "number"),
    ("bytes", "number"),
];

fn assert_schema(setting: &Setting) -> Result<()> {
    let status = setting.agent.status()?;
    for (path, expected) in STATUS {
        assert_eq!(kind(at(&status, path)), *expected, "{path} in {status:#}");
    }
    let services: Vec<&str> =
        (0..4).filter_map(|index| at(&status, &format!("services.{index}.name")).as_str()).collect();
    assert_eq!(services, ["kubernetes-api", "konnectivity-agent", "konnectivity-server", "controller-join"]);

    let flows = setting.agent.json(&["flows"])?;
    for (path, expected) in FLOW {
        assert_eq!(kind(at(&flows, &format!("0.{path}"))), *expected, "{path} in {flows:#}");
    }
    let flow = at(&flows, "0");
    for address in ["client", "vip", "snat", "backend_address"] {
        let text = flow[address].as_str().unwrap_or_default();
        assert!(text.parse::<std::net::SocketAddr>().is_ok(), "{address} is ip:port: {flow}");
    }

    let counted = setting.agent.json(&["counters"])?;
    let counted = counted.as_object().unwrap_or_else(|| panic!("an object: {counted}"));
    for counter in counters::ALL {
        assert!(counted.get(counter.name()).is_some_and(Value::is_u64), "{}: {counted:?}", counter.name());
    }
    assert!(counted.contains_key("forwarded"), "what went through has this name");
    assert!(counted.keys().any(|name| name.starts_with("drop_")), "drops have a prefix");

    let backends = setting.agent.json(&["backend", "list"])?;
    assert_eq!(kind(at(&backends, "0.flows")), "number", "{backends:#}");
    Ok(())
}

#[test]
fn json_is_as_documented_with_and_without_an_agent() -> Result<()> {
    if !requirements::met("json_is_as_documented_with_and_without_an_agent", LAB) {
        return Ok(());
    }
    let mut setting = Setting::usual()?;
    let (hold, _) = setting.hold(3)?;
    assert_schema(&setting)?;
    let status = setting.agent.status()?;
    assert_eq!(status["ready"], true, "it serves: {status:#}");
    setting.agent.kill9()?;
    assert_schema(&setting)?;
    drop(hold);
    Ok(())
}

#[test]
fn no_flows_are_an_empty_array() -> Result<()> {
    if !requirements::met("no_flows_are_an_empty_array", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    assert_eq!(setting.agent.json(&["flows"])?, serde_json::json!([]), "an array all the same");
    Ok(())
}

#[test]
fn global_flags_stand_before_or_after_the_words() -> Result<()> {
    if !requirements::met("global_flags_stand_before_or_after_the_words", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let socket = setting.lab.directory().join("xdplb.sock").display().to_string();
    let pins = setting.pins().display().to_string();
    let flags = ["--socket", &socket, "--pin-dir", &pins];
    for words in [&["status"][..], &["backend", "list"], &["flows"], &["counters"], &["ready"], &["reload"]] {
        answer(&xdplb(&setting.lab, &[&flags[..], words].concat())?, 0);
        answer(&xdplb(&setting.lab, &[words, &flags[..]].concat())?, 0);
    }
    let mut command = setting.lab.namespace("lb")?.command(lb_tests::binaries::xdplb()?)?;
    command.env("XDPLB_SOCKET", &socket).arg("ready");
    assert_eq!(lb_tests::Reply::from(&command.output()?).stdout, "ready\n", "the environment names it too");
    Ok(())
}

/// A reader that has seen enough is no reason for a stack trace.
#[test]
fn a_reader_that_stops_early_is_no_failure() -> Result<()> {
    if !requirements::met("a_reader_that_stops_early_is_no_failure", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let mut command = setting.agent.command()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let output = command.arg("status").stdout(writer).stderr(std::process::Stdio::piped()).spawn()?;
    let output = output.wait_with_output()?;
    assert!(output.status.success() && output.stderr.is_empty(), "it ends in silence: {output:?}");
    Ok(())
}
