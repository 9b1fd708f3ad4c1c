//! Every key of the configuration, once: errors, the documented sample and the reference are made from here.
//!
//! `docs/xdplb.toml` and `docs/configuration.md` are what [`sample`] and [`markdown`] give; a test holds them
//! together, and `XDPLB_BLESS=1 cargo test -p lb-userspace` writes them anew.

mod conduct;
mod probe;
mod text;

pub use text::{markdown, sample};

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Above the first header.
    Top,
    /// `[probe]`.
    Probe,
    /// `[limits]`.
    Limits,
    /// `[timeouts]`.
    Timeouts,
    /// `[[backends]]`, once for each.
    Backends,
    /// `[[services]]`, once for each.
    Services,
}

impl Section {
    /// All, in the order in which the file is best written.
    pub const ALL: [Self; 6] =
        [Self::Top, Self::Probe, Self::Limits, Self::Timeouts, Self::Backends, Self::Services];

    /// The header, empty at the top.
    pub fn header(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Probe => "[probe]",
            Self::Limits => "[limits]",
            Self::Timeouts => "[timeouts]",
            Self::Backends => "[[backends]]",
            Self::Services => "[[services]]",
        }
    }

    /// The key under which it stands at the top.
    pub(crate) fn key(self) -> &'static str {
        self.header().trim_matches(['[', ']'])
    }

    /// What it is for.
    pub fn doc(self) -> &'static str {
        match self {
            Self::Top => "What is balanced, and where.",
            Self::Probe => "How the health of backends is learnt; a service may say otherwise for itself.",
            Self::Limits => {
                "The sizes of the kernel's tables. A change takes a restart with `--discard-flows`."
            }
            Self::Timeouts => "How long a connection may stay idle, by its state, before it is forgotten.",
            Self::Backends => "The controllers: one table each. `xdplb backend …` edits them in place.",
            Self::Services => {
                "The balanced ports. Leave these out for the four ports of a k0s control plane; one table here \
                 replaces all four."
            }
        }
    }

    /// Its keys.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        keys().filter(move |key| key.section == self)
    }
}

/// What holds when a key is left out, and how the sample shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// There is none; the sample gives this value.
    Required(&'static str),
    /// Exactly this value, in TOML; the sample shows it in a comment.
    Is(&'static str),
    /// What the words say; the sample shows this value, as an example, in a comment.
    Says(&'static str, &'static str),
}

/// A key of the file.
#[derive(Debug)]
pub struct Key {
    /// The table it stands in.
    pub section: Section,
    /// The key.
    pub name: &'static str,
    /// What it takes, for errors and the reference.
    pub takes: &'static str,
    /// What holds when it is left out.
    pub default: Absent,
    /// What it means.
    pub doc: &'static str,
}

/// A row of the table below.
const fn key(
    section: Section,
    name: &'static str,
    takes: &'static str,
    default: Absent,
    doc: &'static str,
) -> Key {
    Key { section, name, takes, default, doc }
}

use Absent::{Is, Required, Says};
use Section::{Backends, Limits, Services, Timeouts, Top};

/// Every key.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(conduct::KEYS).chain(probe::KEYS)
}

/// Every key but those about the conduct of backends and about probes.
static KEYS: &[Key] = &[
    key(
        Top,
        "interfaces",
        "a list of interface names",
        Required("[\"eth0\"]"),
        "The interfaces to attach to: all that clients' or backends' packets come in by.",
    ),
    key(
        Top,
        "vips",
        "a list of IP addresses",
        Says("each interface's own primary address, of the families the backends have", "[\"192.0.2.10\"]"),
        "The addresses that are balanced. xdplb never adds one to an interface: keepalived, BGP or you do.",
    ),
    key(
        Top,
        "mode",
        "\"nat\" (dsr-l2, dsr-ipip and dsr-gue are not in this version yet)",
        Is("\"nat\""),
        "How packets reach the backends. With nat nothing on a backend changes.",
    ),
    key(
        Top,
        "xdp_mode",
        "\"auto\", \"native\" or \"generic\"",
        Is("\"auto\""),
        "Where in the kernel the programs run. auto is native where the driver forwards well so, else generic.",
    ),
    key(
        Top,
        "log_drops",
        "true or false",
        Is("false"),
        "Whether the agent logs every packet that it drops, one line each with the reason as `xdplb counters` names \
         it, source and destination; 32 lines a second and CPU at most. For a while, to find out what happens: it costs \
         time for each such packet.",
    ),
    key(
        Top,
        "snat_addresses",
        "a list of at most one IP address a family",
        Says(
            "the VIP for backends on its own subnet, else the address that leads to them",
            "[\"192.0.2.10\"]",
        ),
        "The source addresses that backends see. The host must have them.",
    ),
    key(
        Top,
        "snat_ports",
        "a range of ports, \"FROM-TO\" or [FROM, TO]",
        Is("\"10000-29999\""),
        "The source ports that backends see: at least 4096, better 20000, off the services', the host's ephemeral \
         (32768-60999) and Kubernetes' NodePort range (30000-32767). They bound the connections to one backend and \
         service. A service within the default range wants another, such as \"16000-29999\".",
    ),
    key(
        Top,
        "cluster_key_file",
        "the absolute path of a file",
        Says("a key of this run's own", "\"/etc/xdplb/cluster.key\""),
        "The key that balancers of one cluster share, so that each sends a connection to the same backend: 16 bytes \
         or 32 hexadecimal digits, readable by its owner only. `openssl rand -hex 16` makes one.",
    ),
    key(
        Limits,
        "flow_table",
        "a whole number from 1024 to 16777216",
        Is("262144"),
        "Established connections; the default takes 72 MiB for IPv4 and 96 MiB for IPv6, of the families that have a \
         VIP. A full table evicts nothing: what is new stays in the half-open table.",
    ),
    key(
        Limits,
        "half_open_table",
        "a whole number from 1024 to 16777216",
        Is("32768"),
        "Connections whose handshake is not complete. The oldest make room for the newest.",
    ),
    key(
        Timeouts,
        "established",
        "a duration from 1s to 30days, such as \"4h\"",
        Is("\"4h\""),
        "Both sides talk. Minutes here would cut `kubectl logs -f` and watches.",
    ),
    key(
        Timeouts,
        "half_closed",
        "a duration from 1s to 30days, such as \"15m\"",
        Is("\"15m\""),
        "One side has closed, the other may still send.",
    ),
    key(
        Timeouts,
        "half_open",
        "a duration from 1s to 30days, such as \"60s\"",
        Is("\"60s\""),
        "The handshake is not complete.",
    ),
    key(
        Timeouts,
        "closed",
        "a duration from 1s to 30days, such as \"10s\"",
        Is("\"10s\""),
        "Both sides have closed, the client first, or the connection was reset.",
    ),
    key(
        Timeouts,
        "time_wait",
        "a duration from 1s to 30days, such as \"60s\"",
        Is("\"60s\""),
        "Both sides have closed, the backend first: its host holds the port in TIME-WAIT, for a minute on Linux.",
    ),
    key(
        Backends,
        "name",
        "a name of 1 to 63 letters, digits, and any of - _ . :",
        Says("its first address", "\"controller-1\""),
        "What status, logs and `xdplb backend …` call it.",
    ),
    key(Backends, "address", "an IP address", Required("\"10.0.0.11\""), "Its address, when it has one."),
    key(
        Backends,
        "addresses",
        "a list of IP addresses, at most one a family",
        Says("address", "[\"10.0.0.11\", \"2001:db8::11\"]"),
        "Instead of address: its address of each family.",
    ),
    key(
        Backends,
        "weight",
        "a whole number from 1 to 255",
        Is("1"),
        "Its share of new connections, relative to the other backends'.",
    ),
    key(
        Backends,
        "state",
        "\"enabled\", \"draining\" or \"disabled\"",
        Is("\"enabled\""),
        "draining takes no new connections and keeps those it has; disabled resets those too.",
    ),
    key(
        Services,
        "name",
        "a name of 1 to 63 letters, digits, and any of - _ . :",
        Required("\"kubernetes-api\""),
        "What status and logs call it.",
    ),
    key(Services, "port", "a port from 1 to 65535", Required("6443"), "The TCP port on the VIPs."),
    key(
        Services,
        "backend_port",
        "a port from 1 to 65535",
        Says("the service's port", "6443"),
        "The TCP port on the backends.",
    ),
    key(
        Services,
        "mode",
        "\"nat\" (dsr-l2, dsr-ipip and dsr-gue are not in this version yet)",
        Says("the mode at the top", "\"nat\""),
        "How its packets reach the backends.",
    ),
    key(
        Services,
        "policy",
        "\"maglev\" or \"spread\"",
        Is("\"maglev\""),
        "How a backend is chosen: maglev hashes the connection; spread gives each new connection of one source to \
         the next backend, which is what konnectivity agents need to find every server.",
    ),
    key(
        Services,
        "vips",
        "a list of IP addresses",
        Says("the vips at the top", "[\"192.0.2.10\"]"),
        "Its own VIPs.",
    ),
    key(
        Services,
        "backends",
        "a list of names of backends",
        Says("all backends", "[\"controller-1\"]"),
        "Its own backends.",
    ),
];
