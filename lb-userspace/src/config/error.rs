//! What can be wrong with a configuration: one line, with the place and the next step.

use std::fmt;
use std::net::IpAddr;

use super::limits::{EPHEMERAL_PORTS, MAX_NAME, NODE_PORTS};
use super::place::{Located, Place};
use super::ports::PortRange;
use super::words::Family;

/// A configuration that is refused: where, why, and what to do. Always one line.
#[derive(Debug)]
pub struct ConfigError {
    place: Place,
    /// In a box, or every `Result` here would be as large as the largest problem.
    problem: Box<Problem>,
}

impl ConfigError {
    /// Where the cause was written.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.place, self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl Problem {
    /// This problem, at `place`.
    pub(crate) fn at(self, place: &Place) -> ConfigError {
        ConfigError { place: place.clone(), problem: Box::new(self) }
    }

    /// This problem, where `value` was written.
    pub(crate) fn of<T>(self, value: &Located<T>) -> ConfigError {
        self.at(&value.place)
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The file could not be read.
    #[error("cannot be read ({0}); create it or name another file")]
    Unreadable(std::io::Error),
    /// The text is not TOML.
    #[error("this is not TOML ({0}); correct it here")]
    Syntax(String),
    /// A value of the wrong type.
    #[error("{found}; {key} takes {takes}")]
    Type { found: String, key: &'static str, takes: &'static str },
    /// A table that is none, or a list of tables that is a single one.
    #[error("{key} has the wrong shape; write {header} on a line of its own and its keys below")]
    Shape { key: &'static str, header: &'static str },
    /// A value that no key explains.
    #[error("{0}; compare with docs/configuration.md")]
    Other(String),
    /// A key that does not exist, and the nearest that does.
    #[error("unknown key {key:?}{section}; did you mean {nearest:?}?")]
    MisspeltKey { key: String, section: String, nearest: &'static str },
    /// A key that does not exist.
    #[error("unknown key {key:?}{section}; remove it, the keys here are {known}")]
    UnknownKey { key: String, section: String, known: String },
    /// A value out of its range.
    #[error("{key} = {given} is not possible; give {takes}")]
    Value { key: &'static str, given: String, takes: String },
    /// A mode that this version lacks.
    #[error("mode {0:?} is not in this version yet; use \"nat\"")]
    Mode(&'static str),

    /// No interface at all.
    #[error("no interface is given; add {0}")]
    NoInterface(&'static str),
    /// Nothing the kernel would accept as an interface's name.
    #[error("{0:?} cannot be the name of an interface; `ip -br link` lists them")]
    InterfaceName(String),
    /// The host does not have the interface.
    #[error("this host has no interface {name:?}; {next}")]
    NoSuchInterface { name: String, next: String },
    /// A list that says something twice.
    #[error("{what} {name} is given twice; remove one of the two")]
    Twice { what: &'static str, name: String },
    /// More of something than the tables hold.
    #[error("{given} {what} are more than the {limit} possible; remove some or run a second agent")]
    TooMany { what: &'static str, given: usize, limit: usize },
    /// A list that is empty where it must not be.
    #[error("{0} is empty; add an entry or leave the key out for the default")]
    Empty(&'static str),
    /// A name that cannot be printed, or not typed.
    #[error("{0:?} cannot be a name; use 1 to {MAX_NAME} letters, digits, and any of - _ . :")]
    Name(String),

    /// Not an address.
    #[error(
        "{given:?} is not an IP address; {key} takes addresses such as \"192.0.2.10\" or \"2001:db8::10\""
    )]
    NotAnAddress { key: &'static str, given: String },
    /// An address that no packet from elsewhere is sent to.
    #[error("{address} is {kind} and cannot be used for {key}; give an address that other hosts reach")]
    Unusable { key: &'static str, address: IpAddr, kind: &'static str },
    /// The host has no address to take as the VIP.
    #[error("no {families} address on {interfaces} to be the VIP; {next}")]
    NoDefaultVip { interfaces: String, families: String, next: &'static str },
    /// Nobody could answer for the VIP.
    #[error("no backend{of} has an {} address for the VIP {vip}; give a backend one or remove the VIP",
        Family::of(*.vip))]
    VipWithoutBackend { vip: IpAddr, of: String },
    /// A VIP that is a backend too.
    #[error("{vip} is a VIP and the address of the backend {backend:?}; give one of them another address")]
    VipIsBackend { vip: IpAddr, backend: String },

    /// No backend at all.
    #[error("no backend is given; {0}")]
    NoBackend(&'static str),
    /// A backend without an address.
    #[error("the backend has no address; add address = \"IP\"")]
    NoAddress,
    /// Both spellings at once.
    #[error("the backend {0:?} has address and addresses; keep one of the two")]
    AddressTwice(String),
    /// Two addresses of one family.
    #[error("the backend {name:?} has two {family} addresses; make it two backends")]
    FamilyTwice { name: String, family: Family },
    /// Two backends with one address.
    #[error("{address} is the address of two backends, {first:?} and {second:?}; remove one of them")]
    AddressShared { address: IpAddr, first: String, second: String },
    /// The backend is the balancer.
    #[error(
        "the backend {name:?} is this host ({address} is on {interface}); remove it or run the balancer elsewhere"
    )]
    BackendIsHost { name: String, address: IpAddr, interface: String },
    /// A backend that does not exist.
    #[error("there is no backend {name:?}; {next}")]
    NoSuchBackend { name: String, next: String },

    /// A backend of this name is there, with another address.
    #[error(
        "there is a backend {name:?} already, with the address {address}; use another name or remove it first"
    )]
    NameTaken { name: String, address: IpAddr },
    /// The last backend was to be removed.
    #[error("{0:?} is the last backend; add another before you remove it, or drain it")]
    LastBackend(String),
    /// The last backend of a service was to be removed.
    #[error(
        "{backend:?} is the last backend of the service {service:?}; add another to it before you remove it"
    )]
    LastBackendOf { backend: String, service: String },

    /// A service without one of the keys that have no default.
    #[error("the service has no {0}; add it")]
    ServiceLacks(&'static str),
    /// No backend serves the service.
    #[error(
        "no backend is left for the service {0:?}; name one in its backends or leave that key out for all"
    )]
    ServiceWithoutBackend(String),
    /// Two services on one port.
    #[error("port {port} of {vip} belongs to {first:?} and {second:?}; give one of them another port or VIP")]
    PortTwice { port: u16, vip: String, first: String, second: String },
    /// The followed service does not exist.
    #[error("{service:?} follows {followed:?}, which is not a service; {next}")]
    FollowsNothing { service: String, followed: String, next: String },
    /// The followed service has no probe.
    #[error("{service:?} follows {followed:?}, which follows too; name a service with a probe of its own")]
    FollowsFollower { service: String, followed: String },
    /// A backend whose health nobody learns.
    #[error(
        "{service:?} follows {followed:?}, which does not probe {backend:?}; give both the same backends"
    )]
    FollowsOthers { service: String, followed: String, backend: String },

    /// Both spellings at once.
    #[error("{0:?} has follow beside probe = \"follow:…\"; keep one of the two")]
    FollowsTwice(String),
    /// A service that follows itself.
    #[error("{0:?} follows itself; name another service or remove the key")]
    FollowsItself(String),
    /// A key of another kind of probe.
    #[error("{key} says nothing to this probe; remove it or write probe = \"{wanted}\"")]
    ProbeKeyUnused { key: &'static str, wanted: &'static str },
    /// A certificate without a key or the other way round.
    #[error("{given} is of no use without {lacks}; add it")]
    HalfCredential { given: &'static str, lacks: &'static str },
    /// A client certificate and a token.
    #[error("{token} is given beside {certificate}; keep one of the two")]
    TwoCredentials { token: &'static str, certificate: &'static str },
    /// A token that anybody could take who answers at the backend's address.
    #[error(
        "{token} would be shown to a server that is not verified; add {ca} (k0s has it in /var/lib/k0s/pki/ca.crt)"
    )]
    TokenWithoutCa { token: &'static str, ca: &'static str },
    /// A credential that no service shows.
    #[error(
        "the credential of [probe] is for the default services; move it to the [[services]] table that shows it, \
         as probe_token_file, or probe_client_certificate_file and probe_client_key_file"
    )]
    CredentialUnused,
    /// A file of a probe that cannot be used.
    #[error("{0}")]
    ProbeFile(String),

    /// A second SNAT address of one family.
    #[error("snat_addresses has two {0} addresses; keep one a family")]
    SnatFamilyTwice(Family),
    /// A SNAT address that is a backend's.
    #[error("{address} is a SNAT address and the address of the backend {backend:?}; give another")]
    SnatIsBackend { address: IpAddr, backend: String },
    /// A port range that is none.
    #[error("snat_ports = {0} is not a range; write it as \"10000-29999\" or [10000, 29999]")]
    NotARange(String),
    /// A service's port within the SNAT ports.
    #[error(
        "port {port} of {service:?} is within snat_ports ({first}-{last}); {}",
        .free.map_or_else(|| "move the service".into(), |free| format!("write snat_ports = \"{free}\" or move the service"))
    )]
    PortInSnat { port: u16, service: String, first: u16, last: u16, free: Option<PortRange> },
    /// Too few SNAT ports.
    #[error("snat_ports {first}-{last} are {width} ports; give at least {least}")]
    SnatTooNarrow { first: u16, last: u16, width: u32, least: u16 },
    /// SNAT ports that somebody else uses.
    #[error(
        "snat_ports {first}-{last} reach into the {whose}; stay between 1024 and {} and off {}-{}",
        NODE_PORTS.start() - 1, NODE_PORTS.start(), EPHEMERAL_PORTS.end()
    )]
    SnatOverlap { first: u16, last: u16, whose: &'static str },
    /// A path that depends on where the agent was started.
    #[error("{key} = {given:?} is relative; give the whole path from /")]
    RelativePath { key: &'static str, given: String },
}
