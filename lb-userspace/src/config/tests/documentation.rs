//! The documented sample and the reference are what the table of keys makes, and say what the code does.

use std::path::PathBuf;

use super::super::reference::{self, Absent, Key, Section};
use super::super::{Config, Probe, Service};
use super::{line, right};

/// Compares a document with what it should be, or writes it anew.
fn compare(name: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("XDPLB_BLESS").is_some() {
        std::fs::create_dir_all(path.with_file_name("")).expect("docs can be made");
        std::fs::write(&path, expected)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is not what lb-userspace/src/config/reference.rs says; run XDPLB_BLESS=1 cargo test -p lb-userspace"
    );
}

#[test]
fn the_documents_are_up_to_date() {
    compare("xdplb.toml", &reference::sample());
    compare("configuration.md", &reference::markdown());
}

#[test]
fn the_sample_is_a_configuration_as_it_stands() {
    let config = right(&reference::sample());
    assert_eq!(config.interfaces[0].value, "eth0");
    assert_eq!(config.backends.len(), 1);
}

/// The sample with the commented defaults of all tables (or their examples, too) in force.
fn uncommented(with: impl Fn(Absent) -> bool) -> Config {
    let mut text = String::new();
    for section in Section::ALL {
        let keys: Vec<_> = section.keys().filter(|key| with(key.default)).collect();
        line(&mut text, section.header());
        for key in keys {
            let value = match key.default {
                Absent::Required(value) | Absent::Is(value) | Absent::Says(_, value) => value,
            };
            line(&mut text, format_args!("{} = {value}", key.name));
        }
    }
    right(&text)
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let least = uncommented(|key| matches!(key, Absent::Required(_)));
    let all = uncommented(|key| matches!(key, Absent::Required(_) | Absent::Is(_)));
    assert_eq!(least, all);
}

/// What an example needs beside itself, in its own table.
fn companions(example: &Key) -> &'static str {
    match (example.section, example.name) {
        (Section::Probe, "client_certificate_file") => "client_key_file = \"/etc/xdplb/probe.key\"",
        (Section::Probe, "client_key_file") => "client_certificate_file = \"/etc/xdplb/probe.crt\"",
        (Section::Probe, "token_file") => "ca_file = \"/etc/xdplb/ca.crt\"",
        (Section::Services, "probe_client_certificate_file") => {
            "probe = \"https\"\nprobe_client_key_file = \"/etc/xdplb/probe.key\""
        }
        (Section::Services, "probe_client_key_file") => {
            "probe = \"https\"\nprobe_client_certificate_file = \"/etc/xdplb/probe.crt\""
        }
        (Section::Services, "probe_token_file") => "probe = \"https\"\nprobe_ca_file = \"/etc/xdplb/ca.crt\"",
        (Section::Services, "probe_alpn") => "probe = \"tls\"",
        (Section::Services, name) if name.starts_with("probe_") => "probe = \"https\"",
        _ => "",
    }
}

/// Whether the sample's services have to stay out: a credential of `[probe]` is for the default ones, and the sample's
/// service cannot follow itself.
fn wants_other_services(example: &Key) -> bool {
    matches!(
        (example.section, example.name),
        (Section::Probe, "client_certificate_file" | "client_key_file" | "token_file")
            | (Section::Services, "follow")
    )
}

#[test]
fn every_example_is_accepted() {
    for example in reference::keys() {
        let Absent::Says(_, value) = example.default else { continue };
        let mut text = String::new();
        for section in Section::ALL {
            if section == Section::Services && wants_other_services(example) {
                continue;
            }
            line(&mut text, section.header());
            for key in section.keys() {
                match key.default {
                    Absent::Required(_) if example.name == "addresses" && key.name == "address" => {}
                    Absent::Required(value) => line(&mut text, format_args!("{} = {value}", key.name)),
                    // Services name this one.
                    Absent::Says(_, name) if (section, key.name) == (Section::Backends, "name") => {
                        line(&mut text, format_args!("name = {name}"));
                    }
                    Absent::Is(_) | Absent::Says(..) => {}
                }
            }
            if section == example.section && (section, example.name) != (Section::Backends, "name") {
                line(&mut text, format_args!("{} = {value}\n{}", example.name, companions(example)));
            }
        }
        if example.name == "follow" {
            line(&mut text, "[[services]]\nname = \"kubernetes-api\"\nport = 6443");
            line(&mut text, format_args!("[[services]]\nname = \"other\"\nport = 8132\nfollow = {value}"));
        }
        right(&text);
    }
}

#[test]
fn the_documented_services_are_the_default_services() {
    for service in Service::defaults_for_k0s() {
        let row = format!(
            "| `{}` | {} | {} | {}",
            service.name, service.port.value, service.policy, service.probe.value
        );
        let markdown = reference::markdown();
        let row = markdown.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("the reference lacks a row of {}", service.name));
        let mut said = service.follow.iter().map(|followed| format!("follows {}", followed.value));
        assert!(said.all(|said| row.contains(&said)), "{row}");
        match &service.probe.value {
            Probe::Https(probe) => {
                assert!(row.contains(&format!("`{} {}`", probe.method, probe.path)), "{row}");
            }
            Probe::Tls(probe) => assert!(row.contains(&format!("ALPN `{}`", probe.alpn.join(", "))), "{row}"),
            Probe::Tcp | Probe::Follow(_) => {}
        }
    }
}
