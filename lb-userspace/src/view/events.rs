//! What has happened: events, readiness, what was done.

use super::style::{Paint, Style, clean};
use super::table::{Cell, Column, Table};
use crate::control::types::{Done, Event, EventLevel, Ready};

/// A table of events that grows, oldest first: print what [`rows`](Self::rows) returns for every chunk.
#[derive(Debug, Clone)]
pub struct EventTable {
    table: Table,
    style: Style,
}

impl EventTable {
    /// An empty table.
    pub fn new(style: &Style) -> Self {
        let columns = ["time", "level", "what", "why"].map(Column::left).to_vec();
        Self { table: Table::new(columns), style: style.clone() }
    }

    /// The next events, with the heading before the first.
    pub fn rows(&mut self, events: &[Event]) -> String {
        if events.is_empty() {
            return String::new();
        }
        let rows: Vec<Vec<Cell>> = events.iter().map(row).collect();
        self.table.rows(&rows, &self.style)
    }
}

/// All events in one table.
pub fn events(events: &[Event], style: &Style) -> String {
    if events.is_empty() {
        return "no events\n".to_owned();
    }
    EventTable::new(style).rows(events)
}

fn row(event: &Event) -> Vec<Cell> {
    let paint = match event.level {
        EventLevel::Info => Paint::Plain,
        EventLevel::Warning => Paint::Caution,
    };
    vec![
        Cell::painted(&event.at, Paint::Faint),
        Cell::painted(&event.level, paint),
        Cell::new(&event.message),
        Cell::new(&event.why.as_deref().unwrap_or_default()),
    ]
}

/// `xdplb ready`.
pub fn ready(ready: &Ready, style: &Style) -> String {
    let word =
        if ready.ready { style.paint(Paint::Good, "ready") } else { style.paint(Paint::Bad, "not ready") };
    match &ready.reason {
        None => format!("{word}\n"),
        Some(reason) => format!("{word}: {}\n", clean(reason)),
    }
}

/// What a change came to, and what the person should know besides.
pub fn done(done: &Done, style: &Style) -> String {
    let note = style.paint(Paint::Caution, "note");
    let notes: Vec<String> = done.notes.iter().map(|text| format!("{note}: {}\n", clean(text))).collect();
    format!("{}\n{}", clean(&done.message), notes.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::{EventKind, samples};

    #[test]
    fn events_are_a_table_that_goes_on() {
        let style = Style::plain(samples::moment(0).time());
        let second = Event {
            level: EventLevel::Info,
            why: None,
            ..Event::new(8, samples::moment(185), EventKind::Agent, "the agent ends")
        };
        let mut table = EventTable::new(&style);
        assert_eq!(
            table.rows(&[samples::event()]),
            "time                  level    what                                          why\n\
             2025-01-02T03:07:05Z  warning  kubernetes-api on controller-2: down, was up  connection refused\n"
        );
        assert_eq!(
            table.rows(&[second]),
            "2025-01-02T03:07:10Z  info     the agent ends\n",
            "no second heading"
        );
        assert_eq!(events(&[], &style), "no events\n", "not an empty table");
    }

    #[test]
    fn lines_are_plain_sentences() {
        let style = Style::plain(samples::moment(0).time());
        let waiting = Ready { ready: false, reason: Some("no interface has the program".into()) };
        assert_eq!(ready(&waiting, &style), "not ready: no interface has the program\n", "with its reason");
        let mut drained = Done::changed("controller-1 is draining");
        drained.notes.push("no configuration file was given: this ends with the agent".into());
        assert_eq!(
            done(&drained, &style),
            "controller-1 is draining\nnote: no configuration file was given: this ends with the agent\n",
            "message and note"
        );
    }
}
