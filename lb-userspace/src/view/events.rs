//! What is said in lines and not in tables: events, readiness, what was done.

use super::style::{Paint, Style, clean};
use crate::control::types::{Done, Event, Ready};

/// One line an event, oldest first; without a heading, so that `--follow` can go on.
pub fn events(events: &[Event], style: &Style) -> String {
    let lines: Vec<String> = events
        .iter()
        .map(|event| {
            let at = style.paint(Paint::Faint, &event.at.to_string());
            format!("{at}  {}  {}\n", clean(&event.kind), clean(&event.message))
        })
        .collect();
    lines.concat()
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
    use crate::control::types::samples;

    #[test]
    fn lines_are_plain_sentences() {
        let style = Style::plain(samples::moment(0).time());
        assert_eq!(
            events(&[samples::event()], &style),
            "2025-01-02T03:07:05Z  backend-health  controller-2 went from up to down: connection refused\n",
            "time, kind, sentence"
        );
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
