//! How text is dressed: colour, width, and what "ago" counts from.

use std::env;
use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime};

/// How to write for whoever reads.
#[derive(Debug, Clone)]
pub struct Style {
    /// Whether colours are wanted.
    pub color: bool,
    /// Columns of the terminal; without one nothing is left out.
    pub width: Option<usize>,
    /// What relative times count from.
    pub now: SystemTime,
}

/// What a colour means; the same word has the same colour everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Good,
    Caution,
    Bad,
    Faint,
    Heading,
}

impl Style {
    /// No colour and no limit: for pipes and tests.
    pub fn plain(now: SystemTime) -> Self {
        Self { color: false, width: None, now }
    }

    /// What suits this process's standard output: colour and width only on a terminal, `NO_COLOR` obeyed.
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            color: terminal && !set("NO_COLOR") && !dumb,
            width: terminal.then(terminal_width).flatten(),
            now: SystemTime::now(),
        }
    }

    pub(super) fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.color || text.is_empty() => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Good => "32",
            Paint::Caution => "33",
            Paint::Bad => "31",
            Paint::Faint => "2",
            Paint::Heading => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` through the pointer, which is valid for the length of the call.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A length of time in its two largest units: `12s`, `4m12s`, `2h5m`, `3d4h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// A length of time in its largest unit: `12 s`, `4 min`, `2 h`, `3 d`.
pub(super) fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The text without what could steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (252, "4m12s"),
            (3600, "1h0m"),
            (7_530, "2h5m"),
            (86_399, "23h59m"),
            (86_400, "1d0h"),
            (273_600, "3d4h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds} seconds");
        }
    }

    #[test]
    fn roughly_is_one_unit() {
        for (seconds, text) in
            [(0, "0 s"), (60, "1 min"), (3599, "59 min"), (86_399, "23 h"), (273_600, "3 d")]
        {
            assert_eq!(about(Duration::from_secs(seconds)), text, "{seconds} seconds");
        }
    }

    #[test]
    fn colour_is_only_added_where_wanted() {
        let plain = Style::plain(SystemTime::UNIX_EPOCH);
        assert_eq!(plain.paint(Paint::Bad, "down"), "down", "no colour asked for");
        let color = Style { color: true, ..plain };
        assert_eq!(color.paint(Paint::Bad, "down"), "\x1b[31mdown\x1b[0m", "red");
    }
}
