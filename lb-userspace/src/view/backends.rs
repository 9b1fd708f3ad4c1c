//! `xdplb backend list`.

use super::style::{Paint, Style};
use super::table::{Cell, Column, Table};
use super::verdict::health_paint;
use crate::control::types::{Admin, Backend};

/// The backends, with what the administrator wants of them, their worst health and the connections they hold.
pub fn backends(backends: &[Backend], style: &Style) -> String {
    if backends.is_empty() {
        return "no backends: add one with `xdplb backend add NAME=IP`\n".to_owned();
    }
    let columns = vec![
        Column::left("backend"),
        Column::left("address"),
        Column::right("weight").optional(1),
        Column::left("state"),
        Column::left("health"),
        Column::right("flows"),
    ];
    let rows: Vec<Vec<Cell>> = backends
        .iter()
        .map(|backend| {
            vec![
                Cell::new(&backend.name),
                Cell::new(&addresses(backend)),
                Cell::new(&backend.weight),
                Cell::painted(&backend.admin, admin_paint(backend.admin)),
                match backend.health {
                    Some(health) => Cell::painted(&health, health_paint(health)),
                    None => Cell::new(&"-"),
                },
                Cell::new(&backend.flows),
            ]
        })
        .collect();
    Table::whole(columns, &rows, style)
}

fn addresses(backend: &Backend) -> String {
    if backend.addresses.is_empty() {
        return backend.address.to_string();
    }
    let all: Vec<String> = backend.addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn admin_paint(admin: Admin) -> Paint {
    match admin {
        Admin::Enabled => Paint::Plain,
        Admin::Draining => Paint::Caution,
        Admin::Disabled => Paint::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    #[test]
    fn no_backend_is_told_with_the_next_step() {
        let style = Style::plain(samples::moment(0).time());
        assert_eq!(
            backends(&[], &style),
            "no backends: add one with `xdplb backend add NAME=IP`\n",
            "not an empty table"
        );
    }

    #[test]
    fn an_older_agent_that_sends_one_address_is_understood() {
        let style = Style::plain(samples::moment(0).time());
        let mut all = samples::backends();
        all[0].addresses.clear();
        assert!(backends(&all, &style).contains("controller-1  10.0.0.11 "), "the first address is shown");
    }
}
