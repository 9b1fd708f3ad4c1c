//! The sockets of probes: where they leave from, and that they leave nothing behind.
//!
//! **Never a SNAT port.** The reply to a probe that left from a port of `snat_ports` would meet the flow table, as the
//! reply to a client's connection or as an orphan, and its SYN might disturb a connection that has this port. So the
//! port is chosen by `bind` and looked at *before* anything is sent. Usually the kernel's choice is right: the
//! configuration keeps `snat_ports` off the usual ephemeral range. Where an administrator has widened
//! `net.ipv4.ip_local_port_range` over it, the port is taken from the range that `snat_ports` can never reach,
//! whatever that sysctl says. (`IP_LOCAL_PORT_RANGE` would not do: it narrows the sysctl's range but does not leave it,
//! and needs Linux 6.3.)
//!
//! **Never TIME-WAIT.** `SO_LINGER` 0 makes every close a RST. Where the other side has closed first, as it has after
//! a TLS probe that went well, the RST tells nobody anything; in all other cases it ends what a silent server would
//! keep.
//!
//! **What is said at once is of this host.** `connect` looks for a route before it sends anything. A refusal of its own comes
//! from it, at once; what a router, the backend or its silence says can only come later. So the two are told apart here,
//! though they have the same numbers.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use super::Asker;
use crate::config::limits::EPHEMERAL_PORTS;
use crate::health::failure::FailureReason;

/// How often another port is tried where the kernel's choice belongs to others. With three of four ports taken this
/// fails once in a hundred probes.
const ATTEMPTS: u64 = 16;

/// A socket that is ready to connect, with a port that is nobody else's.
pub(super) fn prepare(asker: &Asker) -> io::Result<Socket> {
    let from = asker.from.unwrap_or(match asker.to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    });
    let socket = bound(SocketAddr::new(from, 0))?;
    let Some(foreign) = &asker.foreign_ports else { return Ok(socket) };
    if !foreign.contains(&port_of(&socket)?) {
        return Ok(socket);
    }
    drop(socket);
    bind_elsewhere(from, foreign)
}

/// A port of the range that `snat_ports` cannot reach, of which none in `foreign` is taken all the same.
fn bind_elsewhere(from: IpAddr, foreign: &RangeInclusive<u16>) -> io::Result<Socket> {
    let ports: Vec<u16> = EPHEMERAL_PORTS.filter(|port| !foreign.contains(port)).collect();
    let random = RandomState::new();
    for attempt in 0..ATTEMPTS {
        let Some(port) = ports.get(random.hash_one(attempt) as usize % ports.len().max(1)) else { break };
        match bound(SocketAddr::new(from, *port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn bound(from: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(from), Type::STREAM.nonblocking(), None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&from.into())?;
    Ok(socket)
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    Ok(socket.local_addr()?.as_socket().map_or(0, |address| address.port()))
}

/// Connects; the caller sets the time limit.
pub(super) async fn connect(socket: Socket, to: SocketAddr) -> Result<TcpStream, FailureReason> {
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            return Err(FailureReason::from_immediate_error(&error));
        }
        Ok(()) | Err(_) => {}
    }
    finish(socket).await.map_err(|error| FailureReason::from_connect_error(&error))
}

/// Waits until a connection that was begun is there.
async fn finish(socket: Socket) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::health::probe::ProbeKind;
    use crate::net::ephemeral_port_range;

    fn asker(to: &str, foreign_ports: Option<RangeInclusive<u16>>) -> Asker {
        let to = to.parse().expect("an address");
        Asker::new(to, ProbeKind::Tcp, Duration::from_secs(1)).leaving(None, foreign_ports)
    }

    fn port(asker: &Asker) -> u16 {
        let socket = prepare(asker).expect("loopback has free ports");
        port_of(&socket).expect("a bound socket has an address")
    }

    #[tokio::test]
    async fn no_probe_leaves_from_a_foreign_port_whatever_the_kernel_would_choose() {
        let kernels = ephemeral_port_range().expect("/proc is mounted wherever tests run");
        let (first, last) = (kernels.first.max(1024), kernels.last.min(*EPHEMERAL_PORTS.end() - 2000));
        for to in ["127.0.0.1:1", "[::1]:1"] {
            // Nearly all that the kernel would choose from belongs to others.
            let asker = asker(to, Some(first..=last));
            for _ in 0..200 {
                let port = port(&asker);
                assert!(!(first..=last).contains(&port), "{to}: port {port} belongs to others");
            }
        }
    }

    #[tokio::test]
    async fn without_a_port_of_its_own_there_is_no_probe() {
        let everything = asker("127.0.0.1:1", Some(1..=u16::MAX));
        let error = prepare(&everything).expect_err("no port is left");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn the_port_that_was_looked_at_is_the_port_that_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
        let to = listener.local_addr().expect("a bound listener has an address");
        let socket = prepare(&asker(&to.to_string(), Some(10_000..=29_999))).expect("a port is free");
        let looked_at = port_of(&socket).expect("it is bound");
        let _stream = connect(socket, to).await.expect("the listener has room");
        let (_, peer) = listener.accept().expect("the connection is there");
        assert_eq!(peer.port(), looked_at);
    }
}
