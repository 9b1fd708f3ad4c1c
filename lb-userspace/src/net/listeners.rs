//! The host's own listeners on our ports.
//!
//! What comes to a VIP's port from outside is forwarded before the host's TCP sees it, so a listener there is out of
//! reach; and what a local process sends to the VIP never passes XDP and reaches the listener. Both want a warning.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::Error;

/// `TCP_LISTEN` of the kernel's `net/tcp_states.h`, as `/proc/net/tcp` prints it.
const LISTEN: &str = "0A";

/// A listening TCP socket of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Listener {
    /// Whether it takes connections to that address. One on `::` is taken to serve IPv4 too, as nearly all do.
    pub fn serves(&self, address: IpAddr) -> bool {
        match self.address.ip() {
            IpAddr::V4(own) if own.is_unspecified() => address.is_ipv4(),
            IpAddr::V6(own) if own.is_unspecified() => true,
            own => own.to_canonical() == address.to_canonical(),
        }
    }
}

/// The listeners on any of these ports.
pub fn listeners(ports: &[u16]) -> Result<Vec<Listener>, Error> {
    let mut found = Vec::new();
    // Not /proc/net, which is the process's namespace: a thread may have another.
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let path = PathBuf::from(path);
        match fs::read_to_string(&path) {
            Ok(table) => found.extend(table.lines().skip(1).filter_map(parse_line)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.ends_with("tcp6") => {}
            Err(source) => return Err(Error::ReadProc { path, source }),
        }
    }
    found.retain(|listener| ports.contains(&listener.address.port()));
    Ok(found)
}

/// "   0: 0100007F:1A2B 00000000:0000 0A …"
fn parse_line(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let (local, state) = (words.nth(1)?, words.nth(1)?);
    if state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some(Listener { address })
}

/// The kernel prints each four bytes of an address as one number of the host's byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(8 * at..8 * at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn own_listeners_are_found_in_both_families() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            // A host without IPv6 has no ::1.
            let Ok(listener) = TcpListener::bind(loopback) else { continue };
            let address = listener.local_addr().expect("a bound listener has an address");
            let found = listeners(&[address.port()]).expect("/proc is mounted wherever tests run");
            assert!(found.contains(&Listener { address }), "{address} is not among {found:?}");
        }
    }

    #[test]
    fn a_listener_on_everything_serves_everything() {
        for (listener, address, expected) in [
            ("0.0.0.0:6443", "192.0.2.10", true),
            ("0.0.0.0:6443", "2001:db8::1", false),
            ("[::]:6443", "192.0.2.10", true),
            ("[::ffff:192.0.2.10]:6443", "192.0.2.10", true),
            ("127.0.0.1:6443", "192.0.2.10", false),
            ("192.0.2.10:6443", "192.0.2.10", true),
        ] {
            let listener = Listener { address: listener.parse().expect("the table holds addresses") };
            let address = address.parse().expect("the table holds addresses");
            assert_eq!(listener.serves(address), expected, "{listener:?} and {address}");
        }
    }
}
