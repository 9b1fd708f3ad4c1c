//! Which way a packet would go, as `ip route get` tells it.

use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

use super::error::reason;
use super::{Error, Netlink, NextHop};

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The egress interface's index.
    pub interface: u32,
    /// The router on the way, if there is one. May be IPv6 for an IPv4 destination (RFC 5549).
    pub gateway: Option<IpAddr>,
    /// The address that the kernel would send from.
    pub source: Option<IpAddr>,
    /// The address is this host's own.
    pub local: bool,
}

impl Route {
    /// Whom to resolve on the way to `destination`: the gateway, or the destination itself.
    pub fn next_hop(&self, destination: IpAddr) -> NextHop {
        NextHop { interface: self.interface, address: self.gateway.unwrap_or(destination) }
    }
}

impl Netlink {
    /// The way to an address, for packets from `from` where rules or multiple uplinks make that a difference.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoute`] when there is none, also when `from` is not an address of this host.
    pub async fn route_to(&self, address: IpAddr, from: Option<IpAddr>) -> Result<Route, Error> {
        let answer = self.ask_route(address, from).await?;
        from_message(&answer, from)
            .ok_or_else(|| Error::NoRoute { address, reason: "the route has no interface".into() })
    }

    /// The largest TCP segment that this host lets the far end of a connection to an address send, where the route says
    /// so (`RTAX_ADVMSS`); else it follows from the interface's MTU.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoute`] when there is no route.
    pub async fn advertised_segment(&self, address: IpAddr) -> Result<Option<u32>, Error> {
        let answer = self.ask_route(address, None).await?;
        let metrics = answer.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics),
            _ => None,
        });
        Ok(metrics.into_iter().flatten().find_map(|metric| match metric {
            RouteMetric::Advmss(bytes) => Some(*bytes),
            _ => None,
        }))
    }

    /// The kernel's answer about the way to an address.
    async fn ask_route(&self, address: IpAddr, from: Option<IpAddr>) -> Result<RouteMessage, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
        message.header.destination_prefix_length = bits(address);
        message.attributes.push(RouteAttribute::Destination(address.into()));
        if let Some(from) = from {
            message.header.source_prefix_length = bits(from);
            message.attributes.push(RouteAttribute::Source(from.into()));
        }
        let no_route = |reason: String| Error::NoRoute { address, reason };
        let mut answers = Box::pin(self.handle.route().get(message).execute());
        let answer = answers.try_next().await.map_err(|error| no_route(reason(&error)))?;
        let answer = answer.ok_or_else(|| no_route("the kernel gave no answer".into()))?;
        match answer.header.kind {
            RouteType::Unicast | RouteType::Local => Ok(answer),
            other => Err(no_route(format!("the route there is of type {other:?}").to_lowercase())),
        }
    }
}

fn from_message(message: &RouteMessage, from: Option<IpAddr>) -> Option<Route> {
    let (mut interface, mut gateway, mut source) = (None, None, from);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some((*address).into()),
            RouteAttribute::PrefSource(address) => source = source.or_else(|| ip(address)),
            _ => {}
        }
    }
    Some(Route { interface: interface?, gateway, source, local: message.header.kind == RouteType::Local })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
