//! What one handshake leaves for the next: tickets, and the end of the certificate that was seen.
//!
//! A resumed handshake shows no certificate, so once in a while there is one in full: a renewed certificate is noticed
//! within two minutes, and so is one that was replaced by a wrong one. After any failure, and when the files of the
//! probe change, the next one is in full too.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::time::Instant;

use crate::health::probe::materials::Material;

/// From one full handshake to the next, at least; at most twice as long. At a full handshake of 0.8 ms once a minute, a
/// thousand backends cost 1.3 % of a core for this.
const RENEWAL: Duration = Duration::from_secs(60);

/// Tickets of one server. Servers send one or two a connection, and a probe takes one.
const TICKETS: usize = 2;

/// The TLS session with one backend.
#[derive(Debug, Default)]
pub(in crate::health::probe) struct Session {
    current: Option<Current>,
    /// When the certificate ends that the last full handshake showed.
    pub(in crate::health::probe) certificate_ends: Option<SystemTime>,
}

#[derive(Debug)]
struct Current {
    material: Arc<Material>,
    config: Arc<ClientConfig>,
    until: Instant,
}

impl Session {
    /// What to shake hands with: the session so far, or a new one when it is time.
    pub(super) fn config(&mut self, material: &Arc<Material>, alpn: &[Vec<u8>]) -> Arc<ClientConfig> {
        let now = Instant::now();
        if let Some(current) = &self.current
            && Arc::ptr_eq(&current.material, material)
            && now < current.until
        {
            return Arc::clone(&current.config);
        }
        let mut config = material.config.clone();
        config.alpn_protocols = alpn.to_vec();
        config.resumption = Resumption::in_memory_sessions(TICKETS);
        let config = Arc::new(config);
        // Targets that were added together shall not all shake hands in full in the same second for ever.
        let thousandths = RandomState::new().hash_one(now) % 1000;
        let until = now + RENEWAL + RENEWAL * u32::try_from(thousandths).unwrap_or(0) / 1000;
        let current = Current { material: Arc::clone(material), config: Arc::clone(&config), until };
        self.current = Some(current);
        config
    }

    /// Has the next handshake be in full.
    pub(in crate::health::probe) fn forget(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::probe::Trust;
    use crate::health::probe::materials::Materials;

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_a_minute_or_two_and_not_beyond_a_failure_or_a_change() {
        let present = async || Arc::new(Materials::new(&Trust::default(), None)).present().await.material;
        let material = present().await.expect("nothing has to be read");
        let mut session = Session::default();
        let first = session.config(&material, &[]);
        tokio::time::advance(RENEWAL / 2).await;
        assert!(Arc::ptr_eq(&first, &session.config(&material, &[])), "within a minute it is resumed");
        tokio::time::advance(RENEWAL * 2).await;
        let second = session.config(&material, &[]);
        assert!(!Arc::ptr_eq(&first, &second), "after two minutes it is not");
        session.forget();
        let third = session.config(&material, &[]);
        assert!(!Arc::ptr_eq(&second, &third), "nor after a failure");
        let changed = present().await.expect("as above");
        assert!(!Arc::ptr_eq(&third, &session.config(&changed, &[])), "nor with other files");
    }
}
