//! The configuration as the data plane's settings.

use std::time::Duration;

use lb_common::{
    abi::{Settings, settings_flags},
    tick::ticks_from_ns,
};

use crate::config::Config;

/// After how long without a walk new flows stay in the lower tier: the flow table never evicts, and would fill up with
/// flows that are over.
const UNCOLLECTED_AFTER: Duration = Duration::from_secs(2 * 3600);

/// The settings of a configuration; the address filter is filled by whoever writes the tables.
pub fn settings(config: &Config, key: [u64; 2], unfinished_checksums: bool) -> Settings {
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
        flags: if unfinished_checksums { settings_flags::UNFINISHED_CHECKSUMS } else { 0 },
    }
}
