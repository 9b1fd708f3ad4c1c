//! How often is asked, and what it takes to go down and to come up: for all services, and for one that says otherwise.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;

use super::reader::Reader;
use crate::config::ProbeTiming;
use crate::config::error::{ConfigError, Problem};
use crate::config::limits::{PROBE_COUNT, PROBE_INTERVAL, PROBE_TIMEOUT};
use crate::config::raw::{RawProbe, RawService};

/// The keys of a timing, as they are called where they stand.
struct TimingKeys {
    interval: &'static str,
    fast_interval: &'static str,
    timeout: &'static str,
    fall: &'static str,
    rise: &'static str,
}

/// In `[probe]`.
const GLOBAL: TimingKeys = TimingKeys {
    interval: "interval",
    fast_interval: "fast_interval",
    timeout: "timeout",
    fall: "fall",
    rise: "rise",
};
/// In `[[services]]`.
const OWN: TimingKeys = TimingKeys {
    interval: "probe_interval",
    fast_interval: "probe_fast_interval",
    timeout: "probe_timeout",
    fall: "probe_fall",
    rise: "probe_rise",
};

/// A timing as it is written.
struct RawTiming {
    interval: Option<Spanned<String>>,
    fast_interval: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    fall: Option<Spanned<i64>>,
    rise: Option<Spanned<i64>>,
}

impl Reader<'_> {
    /// What `[probe]` says.
    pub(super) fn global_timing(&self, raw: RawProbe) -> Result<ProbeTiming, ConfigError> {
        let RawProbe { interval, fast_interval, timeout, fall, rise, .. } = raw;
        let raw = RawTiming { interval, fast_interval, timeout, fall, rise };
        self.timing(&GLOBAL, raw, ProbeTiming::default())
    }

    /// What a service says of its own; the rest is as `[probe]` has it.
    pub(super) fn service_timing(
        &self,
        raw: &RawService,
        global: ProbeTiming,
    ) -> Result<ProbeTiming, ConfigError> {
        let raw = RawTiming {
            interval: raw.probe_interval.clone(),
            fast_interval: raw.probe_fast_interval.clone(),
            timeout: raw.probe_timeout.clone(),
            fall: raw.probe_fall.clone(),
            rise: raw.probe_rise.clone(),
        };
        self.timing(&OWN, raw, global)
    }

    fn timing(
        &self,
        keys: &TimingKeys,
        raw: RawTiming,
        default: ProbeTiming,
    ) -> Result<ProbeTiming, ConfigError> {
        let interval = self.duration(keys.interval, raw.interval, &PROBE_INTERVAL, default.interval)?;
        let at_most = |key, given, range, default| self.at_most(interval, key, given, range, default);
        let count = |key, given, default| {
            self.number(key, given, &PROBE_COUNT).map(|count| count.map_or(default, |count| count.value))
        };
        Ok(ProbeTiming {
            interval,
            fast_interval: at_most(
                keys.fast_interval,
                raw.fast_interval,
                &PROBE_INTERVAL,
                default.fast_interval,
            )?,
            timeout: at_most(keys.timeout, raw.timeout, &PROBE_TIMEOUT, default.timeout)?,
            fall: count(keys.fall, raw.fall, default.fall)?,
            rise: count(keys.rise, raw.rise, default.rise)?,
        })
    }

    /// A duration that is at most the interval: what is left out is cut, what is written and longer is refused.
    fn at_most(
        &self,
        interval: Duration,
        key: &'static str,
        given: Option<Spanned<String>>,
        range: &RangeInclusive<Duration>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let place = given.as_ref().map(|given| self.place(given));
        let duration = self.duration(key, given, range, default)?;
        match place {
            Some(place) if duration > interval => Err(Problem::Value {
                key,
                given: format!("\"{}\"", humantime::format_duration(duration)),
                takes: format!("at most the interval, {}", humantime::format_duration(interval)),
            }
            .at(&place)),
            _ => Ok(duration.min(interval)),
        }
    }
}
