//! A change of one backend, as `xdplb backend …` asks for it, made to a configuration in memory.

use std::fmt;
use std::net::IpAddr;

use super::error::{ConfigError, Problem};
use super::limits::DEFAULT_WEIGHT;
use super::place::{Located, Place};
use super::words::AdminState;
use super::{Backend, Config, build, rules};

/// A change of one backend.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendChange {
    /// A new backend; one of this name and address that is there already only gets the weight, if one is given.
    Add {
        /// What to call it.
        name: String,
        /// Its address.
        address: IpAddr,
        /// Its weight, the default where it does not say.
        weight: Option<u8>,
    },
    /// The backend goes.
    Remove {
        /// Which.
        name: String,
    },
    /// What the operator wants of it.
    SetState {
        /// Which.
        name: String,
        /// What.
        state: AdminState,
    },
    /// Its share of new connections.
    SetWeight {
        /// Which.
        name: String,
        /// How much, 1 to 255.
        weight: u8,
    },
}

impl BackendChange {
    /// The backend it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Add { name, .. }
            | Self::Remove { name }
            | Self::SetState { name, .. }
            | Self::SetWeight { name, .. } => name,
        }
    }
}

impl fmt::Display for BackendChange {
    /// The words that `xdplb backend` takes for it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { name, address, weight: None } => write!(out, "add {name}={address}"),
            Self::Add { name, address, weight: Some(weight) } => {
                write!(out, "add {name}={address} --weight {weight}")
            }
            Self::Remove { name } => write!(out, "remove {name}"),
            Self::SetState { name, state: AdminState::Enabled } => write!(out, "enable {name}"),
            Self::SetState { name, state: AdminState::Draining } => write!(out, "drain {name}"),
            Self::SetState { name, state: AdminState::Disabled } => write!(out, "disable {name}"),
            Self::SetWeight { name, weight } => write!(out, "weight {name} {weight}"),
        }
    }
}

impl Config {
    /// The changes that lead from the backends of this configuration to those of another.
    ///
    /// `reload` tells with it which changes made with `--runtime` it drops.
    pub fn changes_to(&self, other: &Self) -> Vec<BackendChange> {
        let mut changes = Vec::new();
        for old in &self.backends {
            if other.backend_index(&old.name).is_none() {
                changes.push(BackendChange::Remove { name: old.name.clone() });
            }
        }
        for new in &other.backends {
            let name = &new.name;
            let old = self.backend_index(name).map(|index| &self.backends[index]);
            let old = old.filter(|old| old.addresses == new.addresses);
            if old.is_none() {
                let weight = (new.weight != DEFAULT_WEIGHT).then_some(new.weight);
                let address = new.addresses[0].value;
                changes.push(BackendChange::Add { name: name.clone(), address, weight });
            } else if old.is_some_and(|old| old.weight != new.weight) {
                changes.push(BackendChange::SetWeight { name: name.clone(), weight: new.weight });
            }
            if old.map_or(AdminState::Enabled, |old| old.state) != new.state {
                changes.push(BackendChange::SetState { name: name.clone(), state: new.state });
            }
        }
        changes
    }

    /// The configuration with the change made, or `None` where it is true already.
    ///
    /// Removing a backend that is not there is true already; a state or a weight for one is an error. The
    /// names that services give their backends are taken along: the last of a service cannot be removed.
    pub fn changed(&self, change: &BackendChange) -> Result<Option<Self>, ConfigError> {
        let mut next = self.clone();
        match change {
            BackendChange::Add { name, address, weight } => add(&mut next, name, *address, *weight)?,
            BackendChange::Remove { name } => remove(&mut next, name)?,
            BackendChange::SetState { name, state } => find(&mut next, name)?.state = *state,
            BackendChange::SetWeight { name, weight } => find(&mut next, name)?.weight = checked(*weight)?,
        }
        if next == *self {
            return Ok(None);
        }
        rules::check(&next)?;
        Ok(Some(next))
    }
}

/// The backend of this name.
fn find<'a>(config: &'a mut Config, name: &str) -> Result<&'a mut Backend, ConfigError> {
    if let Some(index) = config.backend_index(name) {
        return Ok(&mut config.backends[index].value);
    }
    let known = config.backends.iter().map(|backend| backend.name.as_str());
    let next = rules::did_you_mean(name, known, "`xdplb backend list` shows them");
    Err(Problem::NoSuchBackend { name: name.to_owned(), next }.at(&Place::Nowhere))
}

/// A weight that is one.
fn checked(weight: u8) -> Result<u8, ConfigError> {
    if weight == 0 {
        let takes = "a whole number from 1 to 255".to_owned();
        return Err(Problem::Value { key: "weight", given: weight.to_string(), takes }.at(&Place::Nowhere));
    }
    Ok(weight)
}

fn add(config: &mut Config, name: &str, address: IpAddr, weight: Option<u8>) -> Result<(), ConfigError> {
    let weight = weight.map(checked).transpose()?;
    if let Some(index) = config.backend_index(name) {
        let known = &mut config.backends[index].value;
        if known.addresses.iter().any(|known| known.value == address) {
            known.weight = weight.unwrap_or(known.weight);
            return Ok(());
        }
        return Err(Problem::NameTaken { name: name.to_owned(), address: known.addresses[0].value }
            .at(&Place::Nowhere));
    }
    let backend = Backend {
        name: build::name(name, &Place::Nowhere)?,
        addresses: vec![Located::new(address, Place::Nowhere)],
        weight: weight.unwrap_or(DEFAULT_WEIGHT),
        state: AdminState::Enabled,
    };
    config.backends.push(Located::new(backend, Place::Nowhere));
    Ok(())
}

fn remove(config: &mut Config, name: &str) -> Result<(), ConfigError> {
    let Some(index) = config.backend_index(name) else { return Ok(()) };
    config.backends.remove(index);
    if config.backends.is_empty() {
        return Err(Problem::LastBackend(name.to_owned()).at(&Place::Nowhere));
    }
    for service in &mut config.services {
        let service = &mut service.value;
        if let Some(names) = &mut service.backends {
            names.retain(|known| known.value != name);
            if names.is_empty() {
                return Err(Problem::LastBackendOf {
                    backend: name.to_owned(),
                    service: service.name.clone(),
                }
                .at(&Place::Nowhere));
            }
        }
    }
    Ok(())
}
