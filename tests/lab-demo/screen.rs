//! What the terminal shows: lines that scroll, and on a terminal bars that live below the last of them.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
};

use lb_tests::report::LoadReport;

/// How wide a bar is when one controller gets everything.
const BAR_WIDTH: u64 = 40;

/// A line that stays.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Headlines and bars.
pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal, colour: terminal && !no_colour, drawn: 0 }
    }

    /// The headline of a scene.
    pub(crate) fn scene(&self, text: &str) {
        println!("\n{}", self.paint("1", &format!("== {text}")));
    }

    /// Good or bad, in a word.
    pub(crate) fn verdict(&self, good: bool) -> String {
        if good { self.paint("32", "ok ") } else { self.paint("31", "NOT") }
    }

    /// The bars as they are now; on a terminal over the ones before, else nothing.
    pub(crate) fn live(&mut self, names: &[String], since: &LoadReport, now: &LoadReport, note: &str) {
        if self.terminal {
            self.draw(names, since, now, note);
        }
    }

    /// The bars as they stay.
    pub(crate) fn settle(&mut self, names: &[String], since: &LoadReport, now: &LoadReport, note: &str) {
        self.draw(names, since, now, note);
        self.drawn = 0;
    }

    fn draw(&mut self, names: &[String], since: &LoadReport, now: &LoadReport, note: &str) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to the first bar; each line then clears what it does not overwrite.
            text = format!("\x1b[{}A", self.drawn);
        }
        let clear = if self.terminal { "\x1b[K" } else { "" };
        let total = now.ok.saturating_sub(since.ok);
        for name in names {
            let count = now.by(name).saturating_sub(since.by(name));
            let filled = (count * BAR_WIDTH).checked_div(total).unwrap_or(0) as usize;
            let bar = self.paint("36", &"#".repeat(filled));
            let rest = ".".repeat(BAR_WIDTH as usize - filled);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "   {name:<4} {bar}{rest} {count:>5}{clear}");
        }
        let failed = now.failed().saturating_sub(since.failed());
        let _ = writeln!(text, "   {total} connections, {failed} failed{note}{clear}");
        let mut out = std::io::stdout().lock();
        // A reader that went away ends the demo at the next line.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.drawn = names.len() + 1;
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}
