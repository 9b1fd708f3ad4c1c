//! The bounds of a configuration, each with its reason, and the defaults of its numbers.

use std::ops::RangeInclusive;
use std::time::Duration;

/// VIPs in all. The first look-up of every packet is "is it to one of ours": the table stays in the cache.
pub const MAX_VIPS: usize = 32;
/// Services, counted once for each of their VIPs: an id fits one byte and 0 stays free for "none".
pub const MAX_SERVICES: usize = 255;
/// Backend addresses: an id fits twelve bits and 0 stays free for "none".
pub const MAX_BACKENDS: usize = 4095;
/// Interfaces one agent attaches to: the size of the device map.
pub const MAX_INTERFACES: usize = 64;

/// The longest name of a backend or a service: what a Kubernetes object may be called.
pub const MAX_NAME: usize = 63;
/// The longest interface name: the kernel's `IFNAMSIZ` without its final zero.
pub const MAX_INTERFACE_NAME: usize = 15;

/// Weights. The ratio of two backends is what counts, and one byte is finer than Maglev's slots resolve.
pub const WEIGHTS: RangeInclusive<u8> = 1..=u8::MAX;
/// The weight of a backend that does not say.
pub const DEFAULT_WEIGHT: u8 = 1;

/// Fewer ports than this are refused.
pub const MIN_SNAT_PORTS: u16 = lb_common::limits::MIN_SNAT_PORTS as u16;
/// Fewer ports than this run out in a reconnection storm of a few thousand nodes: a warning.
pub const ENOUGH_SNAT_PORTS: u16 = lb_common::limits::ENOUGH_SNAT_PORTS as u16;
/// The first port that needs no privilege: below it live the host's own servers.
pub const FIRST_UNPRIVILEGED_PORT: u16 = 1024;
/// Kubernetes' `NodePort` range: kube-proxy claims these ports on every node.
pub const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;
/// The kernel's ephemeral range (`net.ipv4.ip_local_port_range`): the host's own connections use it.
pub const EPHEMERAL_PORTS: RangeInclusive<u16> = 32_768..=60_999;
/// The SNAT ports of a configuration that does not say: above the k0s ports, below the `NodePort` range.
pub const DEFAULT_SNAT_PORTS: RangeInclusive<u16> = 10_000..=29_999;

/// Connections the flow table may be sized for. Below, a small cluster's reconnection does not fit; above,
/// two entries of 128 bytes a connection need more than 4 GiB.
pub const FLOW_TABLE: RangeInclusive<u32> = 1024..=16_777_216;
/// Connections the flow table holds by default, fifty times what 5,000 nodes open: 72 MiB for IPv4 and 96 MiB for
/// IPv6, of the families that have a VIP (`lb_common::limits` holds the figures by a test).
pub const DEFAULT_FLOW_TABLE: u32 = lb_common::limits::FLOW_TABLE_CONNECTIONS;
/// Connections the half-open table may be sized for; the same bounds as the flow table's.
pub const HALF_OPEN_TABLE: RangeInclusive<u32> = 1024..=16_777_216;
/// Connections the half-open table holds by default: a second of handshakes in the worst storm. 13 MiB and 16 MiB.
pub const DEFAULT_HALF_OPEN_TABLE: u32 = lb_common::limits::HALF_OPEN_CONNECTIONS;

/// How often a backend may be probed: more often and the probes are a load of their own.
pub const PROBE_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// How long a probe may wait.
pub const PROBE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// The longest path that a probe asks for: the whole request stays within one packet.
pub const MAX_PROBE_PATH: usize = 1024;
/// How many probes in a row may be asked for before a backend counts as down, or as up again.
pub const PROBE_COUNT: RangeInclusive<u8> = 1..=100;
/// How long a flow may stay idle: a second is the resolution, a month is for ever.
pub const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
/// How long a backend may take to get its full share again. For longer than an hour, give it a smaller weight.
pub const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
/// The slow start of `maglev` services: an API server opens its port before its caches of all objects are full, and an
/// anonymous probe sees no more than the port. Half a minute spreads the rush and is over before anybody looks for it.
pub const DEFAULT_SLOW_START: Duration = Duration::from_secs(30);
/// How long connections may outlive the beginning of a drain; the agent looks once a second.
pub const DRAIN_TIMEOUT: RangeInclusive<Duration> = TIMEOUT;
