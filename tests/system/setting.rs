//! What most stories begin with, and what some ask of the status.

use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use lb_tests::{moment, status};
use lb_userspace::control::types::Timestamp;
use serde_json::Value;

pub(crate) use lb_tests::setting::{API, KONNECTIVITY, MANY, Setting};

/// Since when a backend is what the status says of the Kubernetes API on it, by the wall clock.
pub(crate) fn since_us(status: &Value, backend: &str) -> Result<u64> {
    let entry =
        status::on_service(status, backend, API).with_context(|| format!("no {backend} in the status"))?;
    let since: Timestamp = serde_json::from_value(entry["since"].clone())?;
    Ok(moment::us(since.time().max(UNIX_EPOCH)))
}
