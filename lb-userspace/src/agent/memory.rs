//! What the next agent could only learn anew: the health of each service on each backend as its own probe has found it, when
//! it came back, and who was good last. Pinned, so that a restart changes nothing of who takes new connections. Pure.
//!
//! The status does not say it: there a service has the health of what it follows too, and a share in whole percent.
//!
//! Moments are pinned as nanoseconds of `CLOCK_MONOTONIC`, which nobody sets, and which lives as long as what is pinned.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::abi::BackendId;
use serde::{Deserialize, Serialize};

use super::{
    clock::Moment,
    machines::{FormerHealth, Known},
    shown::health_word,
};
use crate::{control::types, health::Health, tables::desired::Socket};

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the machine of each probe knows.
    pub known: FormerHealth,
    /// The backends of each service that were good last.
    pub last_good: BTreeMap<Socket, Vec<BackendId>>,
}

/// The same as it is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    probed: Vec<PinnedHealth>,
    last_good: Vec<PinnedLastGood>,
}

/// What is known of a service on a backend's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PinnedHealth {
    service: String,
    address: IpAddr,
    health: types::Health,
    since_ns: u64,
    returned_ns: Option<u64>,
    answered: bool,
}

/// Who was good last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PinnedLastGood {
    vip: IpAddr,
    port: u16,
    backends: Vec<BackendId>,
}

impl Memory {
    /// As it is to be pinned.
    pub fn pinned(&self, now: Moment) -> Pinned {
        let probed = self.known.iter().map(|((service, address), known)| PinnedHealth {
            service: service.clone(),
            address: *address,
            health: health_word(known.health),
            since_ns: now.ns_of(known.since),
            returned_ns: known.returned.map(|returned| now.ns_of(returned)),
            answered: known.answered,
        });
        let last_good = self.last_good.iter().map(|((vip, port), backends)| PinnedLastGood {
            vip: *vip,
            port: *port,
            backends: backends.clone(),
        });
        Pinned { probed: probed.collect(), last_good: last_good.collect() }
    }

    /// What was pinned.
    pub fn restore(pinned: &Pinned, now: Moment) -> Self {
        let known = pinned.probed.iter().map(|told| {
            let known = Known {
                health: health_of(told.health),
                since: now.instant_of(told.since_ns),
                returned: told.returned_ns.map(|returned| now.instant_of(returned)),
                answered: told.answered,
            };
            ((told.service.clone(), told.address), known)
        });
        let last_good = pinned.last_good.iter().map(|told| ((told.vip, told.port), told.backends.clone()));
        Self { known: known.collect(), last_good: last_good.collect() }
    }
}

fn health_of(told: types::Health) -> Health {
    match told {
        types::Health::Unverified => Health::Unverified,
        types::Health::Up => Health::Up,
        types::Health::Opaque => Health::Opaque,
        types::Health::NotReady => Health::NotReady,
        types::Health::Down => Health::Down,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn everything_comes_back_as_it_was_and_as_old_as_it_is() {
        let then = Moment::now();
        let healths = [Health::Unverified, Health::Up, Health::Opaque, Health::NotReady, Health::Down];
        let known = (1u8..).zip(healths).map(|(number, health)| {
            let known = Known {
                health,
                since: then.instant_of(u64::from(number) * 1_000_000_000),
                returned: (health == Health::Up).then(|| then.instant_of(7)),
                answered: number % 2 == 0,
            };
            (("api".to_owned(), IpAddr::from([10, 0, 0, number])), known)
        });
        let last_good =
            BTreeMap::from([((ip("192.0.2.10"), 6443), vec![3, 1]), ((ip("fd00::1"), 1), vec![])]);
        let memory = Memory { known: known.collect(), last_good };
        let text = serde_json::to_vec(&memory.pinned(then)).expect("it serialises");
        let pinned: Pinned = serde_json::from_slice(&text).expect("it parses");
        assert_eq!(Memory::restore(&pinned, then), memory);

        let later = then.after(Duration::from_secs(90));
        assert_eq!(Memory::restore(&pinned, later), memory, "moments stay where they were on the clock");
    }
}
