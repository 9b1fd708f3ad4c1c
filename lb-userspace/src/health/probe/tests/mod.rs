//! What every server can do to a probe, and what comes of it. The servers are real ones on loopback.

mod credentials;
mod https;
mod routes;
mod servers;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Asker, ProbeKind};
use crate::config::probe::{HttpsProbe, TlsProbe, Trust};
use crate::config::{Located, Place};
use crate::health::failure::FailureReason;
use crate::health::outcome::Outcome;
use crate::health::probe::https::Https;
use crate::health::probe::tls::Tls;

/// Far more than loopback takes: only servers that never answer are waited for so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// For servers that never answer.
const SOON: Duration = Duration::from_millis(150);

/// A file that the configuration names.
fn named(path: PathBuf) -> Located<PathBuf> {
    Located::new(path, Place::Nowhere)
}

/// Verifies by this CA file.
fn trusting(ca_file: PathBuf, server_name: Option<&str>) -> Trust {
    Trust { server_name: server_name.map(str::to_owned), ca_file: Some(named(ca_file)) }
}

fn tls(to: SocketAddr, probe: &TlsProbe, limit: Duration) -> Asker {
    Asker::new(to, ProbeKind::Tls(Tls::new(probe).into()), limit)
}

fn https(to: SocketAddr, probe: &HttpsProbe, limit: Duration) -> Asker {
    Asker::new(to, ProbeKind::Https(Https::new(probe).into()), limit)
}

/// Asks once, as nobody, whoever answers.
async fn anonymous(to: SocketAddr, limit: Duration) -> Outcome {
    https(to, &HttpsProbe::default(), limit).ask().await.outcome
}

fn failed(reason: FailureReason) -> Outcome {
    Outcome::Failed(reason)
}
