//! The configuration as the data plane's settings.

use std::{collections::BTreeMap, time::Duration};

use lb_common::{
    abi::{LinkId, Settings, settings_flags},
    tick::ticks_from_ns,
};

use super::network::LinkEntry;
use crate::config::Config;

/// After how long without a walk new flows stay in the lower tier: the flow table never evicts, and would fill up with
/// flows that are over.
const UNCOLLECTED_AFTER: Duration = Duration::from_secs(2 * 3600);

/// The settings of a configuration, with these [`settings_flags`]; the address filter is filled by whoever writes the
/// tables.
pub fn settings(config: &Config, key: [u64; 2], flags: u32) -> Settings {
    let ticks = |duration: Duration| ticks_from_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    let timeouts = config.timeouts;
    Settings {
        hash_key: key,
        address_filter: [0; _],
        established_timeout: ticks(timeouts.established),
        half_closed_timeout: ticks(timeouts.half_closed),
        half_open_timeout: ticks(timeouts.half_open),
        closed_timeout: ticks(timeouts.closed),
        time_wait_timeout: ticks(timeouts.time_wait),
        uncollected_after: ticks(UNCOLLECTED_AFTER),
        snat_port_first: config.snat_ports.value.first(),
        snat_port_count: config.snat_ports.value.width() as u16,
        flags,
    }
}

/// The [`settings_flags`] that these links make necessary.
pub fn switches(links: &BTreeMap<LinkId, LinkEntry>) -> u32 {
    let unfinished = links.values().any(|link| link.flags != 0);
    if unfinished { settings_flags::UNFINISHED_CHECKSUMS } else { 0 }
}
