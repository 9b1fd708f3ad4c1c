//! `events --json`: what changed, when and why.

use std::borrow::Cow;
use std::fmt;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{EventKind, EventLevel, Timestamp};

/// Something that changed, when and why: an element of `events --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counted up by one from the agent's start; the first is 1.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The same in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether somebody should look at it.
    pub level: EventLevel,
    /// What kind of thing, one of the words of [`EventKind`]; later versions may have more.
    pub kind: Cow<'static, str>,
    /// The service it is about; null when it is about none or all.
    pub service: Option<String>,
    /// The backend it is about; null when it is about none or all.
    pub backend: Option<String>,
    /// By which of the backend's addresses, `ipv4` or `ipv6`; null where that is no matter.
    pub family: Option<Cow<'static, str>>,
    /// What it was; null where nothing was before, or it is not a change of one word.
    pub from: Option<String>,
    /// What it is now; null where nothing is left, or it is not a change of one word.
    pub to: Option<String>,
    /// How many, where the event is about a number of things.
    pub count: Option<u64>,
    /// What changed, in a few words.
    pub message: String,
    /// Why, or what to do about it; null where the message says all.
    pub why: Option<String>,
}

impl Event {
    /// An event of which no more is known yet than what changed.
    pub fn new(sequence: u64, at: Timestamp, kind: EventKind, message: impl Into<String>) -> Self {
        let since_epoch = at.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            sequence,
            at,
            unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            level: EventLevel::Info,
            kind: kind.as_str().into(),
            service: None,
            backend: None,
            family: None,
            from: None,
            to: None,
            count: None,
            message: message.into(),
            why: None,
        }
    }
}

/// The line in the log.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{} ({why})", self.message),
            None => f.write_str(&self.message),
        }
    }
}
