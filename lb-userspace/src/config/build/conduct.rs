//! What is said of backends that come, leave and fail.

use std::time::Duration;

use toml::Spanned;

use super::reader::Reader;
use crate::config::ProbeTiming;
use crate::config::error::ConfigError;
use crate::config::limits::{DEFAULT_SLOW_START, DRAIN_TIMEOUT, SLOW_START};
use crate::config::service::ServiceDefaults;
use crate::config::words::{Mode, WhenDown};

/// `slow_start`, `fail_open` and `when_down` as they are written.
pub(super) type Conduct = (Option<Spanned<String>>, Option<bool>, Option<Spanned<String>>);

impl Reader<'_> {
    /// What the top of the file says for services that do not say.
    pub(super) fn service_defaults(
        &self,
        mode: Mode,
        timing: ProbeTiming,
        (slow_start, fail_open, when_down): Conduct,
    ) -> Result<ServiceDefaults, ConfigError> {
        Ok(ServiceDefaults {
            mode,
            timing,
            slow_start: self.slow_start(slow_start, DEFAULT_SLOW_START)?,
            fail_open: fail_open.unwrap_or(true),
            when_down: self.word("when_down", when_down)?.unwrap_or(WhenDown::Reset),
        })
    }

    /// A slow start, of all services or of one.
    pub(super) fn slow_start(
        &self,
        given: Option<Spanned<String>>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        Ok(match given {
            Some(given) => self.duration("slow_start", Some(given), &SLOW_START, DEFAULT_SLOW_START)?,
            None => default,
        })
    }

    /// How long connections may outlive the beginning of a drain.
    pub(super) fn drain_timeout(
        &self,
        given: Option<Spanned<String>>,
    ) -> Result<Option<Duration>, ConfigError> {
        let example = Duration::from_secs(3600);
        let read = |given| self.duration("drain_timeout", Some(given), &DRAIN_TIMEOUT, example);
        given.map(read).transpose()
    }
}
