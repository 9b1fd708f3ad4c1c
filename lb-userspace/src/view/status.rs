//! `xdplb status`: the answer, then services × backends, then backends, interfaces and totals.

use std::fmt::Display;

use super::backends::backends;
use super::style::{Paint, Style, about as roughly, clean, duration};
use super::table::{Cell, Column, Table};
use super::verdict::{health_paint, verdict};
use crate::control::types::{Agent, Service, ServiceBackend, Status, TableUse, Timestamp};

/// As of which the agent warns of a certificate.
const SOON_DAYS: i64 = 14;

/// Everything at a glance.
pub fn status(status: &Status, style: &Style) -> String {
    let verdict = verdict(status);
    let word = style.paint(verdict.paint, verdict.word);
    let mut parts = vec![format!("{word}: {}\n{}", clean(&verdict.reasons), agent_of(status, style))];
    if !status.services.is_empty() {
        parts.push(services(status, style));
    }
    parts.extend(probed(status, style));
    parts.push(backends(&status.backends, style));
    parts.push(totals(status, style));
    if !status.warnings.is_empty() {
        let word = style.paint(Paint::Caution, "warning");
        let lines: Vec<String> =
            status.warnings.iter().map(|warning| format!("{word}: {}\n", clean(warning))).collect();
        parts.push(lines.concat());
    }
    parts.join("\n")
}

/// The line about the agent: also what is said with every answer that is read from the pinned maps.
pub fn agent(agent: &Agent, style: &Style) -> String {
    let age = agent.since.map(|since| duration(since.age(style.now)));
    match (agent.running, agent.since, age) {
        (true, _, None) => "agent: running\n".to_owned(),
        (true, _, Some(age)) => format!("agent: running for {age}\n"),
        // Pinned maps do not outlive the machine, nor a heartbeat its maps.
        (false, Some(since), Some(age)) => format!("agent: not running since {since} ({age} ago)\n"),
        (false, ..) => "agent: not running since boot or detach\n".to_owned(),
    }
}

fn agent_of(status: &Status, style: &Style) -> String {
    let line = agent(&status.agent, style);
    format!("{}, version {}\n", line.trim_end(), clean(&status.version))
}

/// One row a service and one column a backend, or on a narrow terminal one row a pair.
fn services(status: &Status, style: &Style) -> String {
    let mut names: Vec<&str> = Vec::new();
    for backend in status.services.iter().flat_map(|service| &service.backends) {
        if !names.contains(&backend.name.as_str()) {
            names.push(&backend.name);
        }
    }
    let mut columns = ["service", "vip", "mode", "policy"].map(Column::left).to_vec();
    columns.extend(names.iter().map(|name| Column::left(name)));
    let rows: Vec<Vec<Cell>> = status
        .services
        .iter()
        .map(|service| {
            let mut row = about(service);
            row.extend(names.iter().map(|name| {
                let backend = service.backends.iter().find(|backend| backend.name == *name);
                backend.map_or_else(|| Cell::painted(&"-", Paint::Faint), health)
            }));
            row
        })
        .collect();
    if Table::fits(&columns, &rows, style) {
        Table::whole(columns, &rows, style)
    } else {
        pairs(status, style)
    }
}

fn pairs(status: &Status, style: &Style) -> String {
    let columns = vec![
        Column::left("service"),
        Column::left("vip"),
        Column::left("mode").optional(2),
        Column::left("policy").optional(1),
        Column::left("backend"),
        Column::left("health"),
    ];
    let mut rows = Vec::new();
    for service in &status.services {
        for backend in &service.backends {
            let mut row = about(service);
            row.extend([Cell::new(&backend.name), health(backend)]);
            rows.push(row);
        }
    }
    Table::whole(columns, &rows, style)
}

fn about(service: &Service) -> Vec<Cell> {
    vec![
        Cell::new(&service.name),
        Cell::new(&service.address()),
        Cell::new(&service.mode),
        Cell::new(&service.policy),
    ]
}

fn health(backend: &ServiceBackend) -> Cell {
    if backend.unused {
        return Cell::painted(&"unused", Paint::Faint);
    }
    match backend.slow_start_percent {
        Some(percent) => {
            let words = format!("{}, ramping up: {percent} %", backend.health);
            Cell::painted(&words, Paint::Caution)
        }
        None => Cell::painted(&backend.health, health_paint(backend.health)),
    }
}

/// Every service on every backend: its health, for how long, what its last probe saw, and how long its certificate has.
fn probed(status: &Status, style: &Style) -> Option<String> {
    let columns = vec![
        Column::left("service"),
        Column::left("backend"),
        Column::left("health"),
        Column::right("for"),
        Column::left("last probe"),
        Column::right("ago").optional(1),
        Column::right("certificate").optional(2),
    ];
    let dash = || Cell::painted(&"-", Paint::Faint);
    let ago = |moment: Timestamp| Cell::new(&roughly(moment.age(style.now)));
    let mut rows = Vec::new();
    for service in &status.services {
        // A service on several VIPs may be up by one family and down by the other.
        let several = status.services.iter().filter(|other| other.name == service.name).count() > 1;
        let name = if several { format!("{} {}", service.name, service.vip) } else { service.name.clone() };
        for backend in &service.backends {
            let probe = backend.last_probe.as_ref();
            rows.push(vec![
                Cell::new(&name),
                Cell::new(&backend.name),
                health(backend),
                backend.since.map_or_else(dash, ago),
                probe.map_or_else(dash, |probe| Cell::new(&probe.outcome)),
                probe.map_or_else(dash, |probe| ago(probe.at)),
                probe.and_then(|probe| probe.certificate_days).map_or_else(dash, certificate),
            ]);
        }
    }
    (!rows.is_empty()).then(|| Table::whole(columns, &rows, style))
}

/// How long a certificate has.
fn certificate(days: i64) -> Cell {
    match days {
        ..0 => Cell::painted(&"ended", Paint::Bad),
        0..=SOON_DAYS => Cell::painted(&format!("{days} d"), Paint::Caution),
        _ => Cell::new(&format!("{days} d")),
    }
}

fn totals(status: &Status, style: &Style) -> String {
    let interfaces: Vec<String> = status
        .interfaces
        .iter()
        .map(|interface| format!("{} ({})", clean(&interface.name), interface.xdp_mode))
        .collect();
    let totals = status.totals;
    let line = |name: &str, value: &dyn Display| {
        format!("{}{value}\n", style.paint(Paint::Heading, name) + &" ".repeat(12 - name.len()))
    };
    [
        line("interfaces", &if interfaces.is_empty() { "none".to_owned() } else { interfaces.join(", ") }),
        line("flow table", &entries(status.flow_table)),
        line("half-open", &entries(status.half_open_table)),
        line(
            "packets",
            &format_args!(
                "{} forwarded, {} dropped, {} not ours",
                totals.forwarded_packets, totals.dropped_packets, totals.passed_packets
            ),
        ),
    ]
    .concat()
}

fn entries(table: TableUse) -> String {
    format!("{} of {} connections ({} %)", table.used, table.capacity, table.percent())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
