//! Moments in the schema: RFC 3339, UTC, to the millisecond.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last second RFC 3339 can write with four digits of year; a heartbeat beyond it is garbage from a map.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment, in JSON as RFC 3339 in UTC with milliseconds (`2025-01-02T03:04:05.678Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// The moment `time`, cut to milliseconds and to the years 1970 to 9999.
    pub fn new(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = since_epoch.as_millis().min(u128::from(LAST_SECOND) * 1000);
        Self(UNIX_EPOCH + Duration::from_millis(millis as u64))
    }

    /// Now, by the wall clock.
    pub fn now() -> Self {
        Self::new(SystemTime::now())
    }

    /// How long ago this was at `now`; zero when the clock has gone back.
    pub fn age(self, now: SystemTime) -> Duration {
        now.duration_since(self.0).unwrap_or_default()
    }

    /// The moment itself.
    pub fn time(self) -> SystemTime {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::new(time)
    }
}

/// For people: to the second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&humantime::format_rfc3339_seconds(self.0), f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::new).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_times_are_clamped_and_never_panic() {
        let late = UNIX_EPOCH + Duration::from_secs(LAST_SECOND * 3);
        assert_eq!(Timestamp::new(late).to_string(), "9999-12-31T23:59:59Z", "the far future is cut");
        let early = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Timestamp::new(early).to_string(), "1970-01-01T00:00:00Z", "the past is cut");
    }

    #[test]
    fn a_moment_survives_json() {
        let moment = Timestamp::new(UNIX_EPOCH + Duration::from_millis(1_735_787_045_678));
        let json = serde_json::to_string(&moment).expect("a moment serialises");
        assert_eq!(json, "\"2025-01-02T03:04:05.678Z\"", "milliseconds and UTC");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("it parses"), moment, "nothing is lost");
    }
}
