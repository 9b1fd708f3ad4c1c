//! `docs/api.md` and the types say the same: every sample in it is what the types write, every path is there.

use serde_json::{Value, json};

use super::samples;
use crate::control::routes::PATHS;

use super::*;

const DOCS: &str = include_str!("../../../../docs/api.md");

fn sample(name: &str) -> Value {
    let value = match name {
        "status" => serde_json::to_value(samples::status()),
        "ready" => {
            serde_json::to_value(Ready { ready: false, reason: Some("eth0 is gone: bring it back".into()) })
        }
        "counters" => serde_json::to_value(samples::counters()),
        "backends" => serde_json::to_value(samples::backends()),
        "flow" => serde_json::to_value(samples::flow()),
        "flow-ipv6" => serde_json::to_value(samples::flow_ipv6()),
        "event" => serde_json::to_value(samples::event()),
        "done" => serde_json::to_value(Done::changed("controller-2 is draining")),
        "error" => {
            serde_json::to_value(ApiError::not_found("no backend controller-9: see `xdplb backend list`"))
        }
        other => panic!("docs/api.md has a sample {other:?} that no type writes"),
    };
    value.expect("a sample serialises")
}

/// The request as its type writes it after reading what the documentation shows.
fn request(name: &str, documented: &Value) -> serde_json::Result<Value> {
    fn read<T: serde::Serialize + serde::de::DeserializeOwned>(value: &Value) -> serde_json::Result<Value> {
        serde_json::to_value(serde_json::from_value::<T>(value.clone())?)
    }
    match name {
        "backend-add" => read::<BackendAdd>(documented),
        "backend-remove" => read::<BackendRemove>(documented),
        "backend-state" => read::<BackendState>(documented),
        "backend-weight" => read::<BackendWeight>(documented),
        "backend-idle" => read::<BackendName>(documented),
        "flows-reset" => read::<FlowFilter>(documented),
        "detach" => read::<Detach>(documented),
        other => panic!("docs/api.md has a request {other:?} that no type reads"),
    }
}

/// The blocks that follow `<!-- kind: name -->`.
fn blocks(kind: &str) -> Vec<(&'static str, Value)> {
    let marker = format!("<!-- {kind}: ");
    let found: Vec<_> = DOCS
        .split(marker.as_str())
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once(" -->").expect("a marker ends with -->");
            let block = rest.trim_start().strip_prefix("```json").and_then(|rest| rest.split_once("```"));
            let (text, _) = block.unwrap_or_else(|| panic!("a json block must follow the marker {name}"));
            (name, serde_json::from_str(text).unwrap_or_else(|error| panic!("{name} is not JSON: {error}")))
        })
        .collect();
    assert!(!found.is_empty(), "docs/api.md must have blocks of the kind {kind}");
    found
}

#[test]
fn every_sample_is_what_the_types_write() {
    let samples = blocks("sample");
    assert_eq!(samples.len(), 9, "every answer has its sample");
    for (name, documented) in samples {
        let written = sample(name);
        assert_eq!(documented, written, "{name} must read:\n{written:#}");
    }
}

#[test]
fn every_request_is_what_the_types_read() {
    let requests = blocks("request");
    assert_eq!(requests.len(), 7, "every request with a body has its sample");
    for (name, documented) in requests {
        let read = request(name, &documented).unwrap_or_else(|error| panic!("{name} is refused: {error}"));
        assert_eq!(documented, read, "{name} must show every field:\n{read:#}");
    }
}

#[test]
fn every_path_and_word_is_documented() {
    for (method, path) in PATHS {
        assert!(DOCS.contains(&format!("`{method} {path}`")), "docs/api.md must have `{method} {path}`");
    }
    let words = json!([
        Health::ALL,
        Admin::ALL,
        Mode::ALL,
        Policy::ALL,
        XdpMode::ALL,
        EventKind::ALL,
        EventLevel::ALL
    ]);
    for word in words.as_array().into_iter().flatten().filter_map(Value::as_array).flatten() {
        let word = word.as_str().expect("words are strings");
        assert!(DOCS.contains(&format!("`{word}`")), "docs/api.md must explain `{word}`");
    }
}

#[test]
fn every_field_is_explained() {
    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    found.push(key.clone());
                    keys(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for name in ["status", "ready", "backends", "flow", "event", "done", "error"] {
        keys(&sample(name), &mut found);
    }
    for key in found {
        assert!(DOCS.contains(&format!("`{key}`")), "docs/api.md must explain the field `{key}`");
    }
}
