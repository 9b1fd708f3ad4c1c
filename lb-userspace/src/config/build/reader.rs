//! Single values: from what TOML has to the type, or an error with the place and what the key takes.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use crate::config::PortRange;
use crate::config::error::{ConfigError, Problem};
use crate::config::place::{Located, Place, Source};
use crate::config::raw::RawPorts;
use crate::config::words::{Mode, UnknownWord};

/// Reads single values; knows the text for their places.
pub(super) struct Reader<'a> {
    pub(super) source: Option<&'a Source<'a>>,
}

impl Reader<'_> {
    /// Where a value was written.
    pub(super) fn place<T>(&self, value: &Spanned<T>) -> Place {
        self.source.map_or(Place::Nowhere, |source| source.place(&value.span()))
    }

    /// The value with its place.
    pub(super) fn located<T>(&self, value: Spanned<T>) -> Located<T> {
        let place = self.place(&value);
        Located::new(value.into_inner(), place)
    }

    /// One of a few words.
    pub(super) fn word<W>(
        &self,
        key: &'static str,
        given: Option<Spanned<String>>,
    ) -> Result<Option<W>, ConfigError>
    where
        W: FromStr<Err = UnknownWord>,
    {
        let Some(given) = given.map(|given| self.located(given)) else { return Ok(None) };
        given.parse().map(Some).map_err(|unknown: UnknownWord| {
            Problem::Value { key, given: format!("{:?}", given.value), takes: unknown.possible }.of(&given)
        })
    }

    /// A mode that this version has.
    pub(super) fn mode(&self, given: Option<Spanned<String>>, default: Mode) -> Result<Mode, ConfigError> {
        let place = given.as_ref().map_or(Place::Nowhere, |given| self.place(given));
        let mode = self.word("mode", given)?.unwrap_or(default);
        available(&Located::new(mode, place))
    }

    /// A whole number within a range.
    pub(super) fn number<N>(
        &self,
        key: &'static str,
        given: Option<Spanned<i64>>,
        range: &RangeInclusive<N>,
    ) -> Result<Option<Located<N>>, ConfigError>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(given) = given.map(|given| self.located(given)) else { return Ok(None) };
        match N::try_from(given.value).ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(Located::new(number, given.place))),
            None => Err(Problem::Value {
                key,
                given: given.value.to_string(),
                takes: format!("a whole number from {} to {}", range.start(), range.end()),
            }
            .of(&given)),
        }
    }

    /// A duration within a range.
    pub(super) fn duration(
        &self,
        key: &'static str,
        given: Option<Spanned<String>>,
        range: &RangeInclusive<Duration>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let Some(given) = given.map(|given| self.located(given)) else { return Ok(default) };
        match humantime::parse_duration(&given).ok().filter(|duration| range.contains(duration)) {
            Some(duration) => Ok(duration),
            None => Err(Problem::Value {
                key,
                given: format!("{:?}", given.value),
                takes: format!(
                    "a duration from {} to {}, such as \"{}\"",
                    humantime::format_duration(*range.start()),
                    humantime::format_duration(*range.end()),
                    humantime::format_duration(default),
                ),
            }
            .of(&given)),
        }
    }

    /// A list of addresses.
    pub(super) fn addresses(
        &self,
        key: &'static str,
        given: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Option<Vec<Located<IpAddr>>>, ConfigError> {
        let Some(given) = given else { return Ok(None) };
        given.into_inner().into_iter().map(|text| self.address(key, text)).collect::<Result<_, _>>().map(Some)
    }

    /// One address.
    pub(super) fn address(
        &self,
        key: &'static str,
        given: Spanned<String>,
    ) -> Result<Located<IpAddr>, ConfigError> {
        let given = self.located(given);
        match given.parse() {
            Ok(address) => Ok(Located::new(address, given.place)),
            Err(_) => Err(Problem::NotAnAddress { key, given: given.value.clone() }.of(&given)),
        }
    }

    /// A list of addresses that is absent or has an entry.
    pub(super) fn some_addresses(
        &self,
        key: &'static str,
        given: Option<Spanned<Vec<Spanned<String>>>>,
    ) -> Result<Option<Vec<Located<IpAddr>>>, ConfigError> {
        match given {
            Some(list) if list.get_ref().is_empty() => Err(Problem::Empty(key).at(&self.place(&list))),
            given => self.addresses(key, given),
        }
    }

    /// A path from the root.
    pub(super) fn absolute_path(
        &self,
        key: &'static str,
        given: Option<Spanned<String>>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.located_path(key, given)?.map(|path| path.value))
    }

    /// A path from the root, with its place.
    pub(super) fn located_path(
        &self,
        key: &'static str,
        given: Option<Spanned<String>>,
    ) -> Result<Option<Located<PathBuf>>, ConfigError> {
        let Some(given) = given.map(|given| self.located(given)) else { return Ok(None) };
        let path = PathBuf::from(&given.value);
        if !path.is_absolute() {
            return Err(Problem::RelativePath { key, given: given.value.clone() }.of(&given));
        }
        Ok(Some(Located::new(path, given.place)))
    }

    /// A range of ports in either spelling.
    pub(super) fn ports(&self, given: Spanned<RawPorts>) -> Result<Located<PortRange>, ConfigError> {
        let given = self.located(given);
        let (range, written) = match &given.value {
            RawPorts::Text(text) => (text.parse().ok(), format!("{text:?}")),
            RawPorts::List(list) => {
                let range = match list[..] {
                    [from, to] => u16::try_from(from).ok().zip(u16::try_from(to).ok()),
                    _ => None,
                };
                (range.and_then(|(from, to)| PortRange::new(from, to).ok()), format!("{list:?}"))
            }
        };
        range
            .map(|range| Located::new(range, given.place.clone()))
            .ok_or_else(|| Problem::NotARange(written).of(&given))
    }
}

/// A mode, when this version has it.
pub(super) fn available(mode: &Located<Mode>) -> Result<Mode, ConfigError> {
    match mode.value {
        Mode::Nat => Ok(Mode::Nat),
        Mode::DsrL2 | Mode::DsrIpip | Mode::DsrGue => Err(Problem::Mode(mode.value.as_str()).of(mode)),
    }
}
