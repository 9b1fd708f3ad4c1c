//! A RST as the other end of a connection would send it: Ethernet, IP and TCP header, whole checksums. Pure.

use std::net::{IpAddr, SocketAddr};

use lb_common::{
    checksum::{fold, pseudo_header_tail, sum},
    tcp::flags::{ACK, RST},
    wire::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_HEADER, Mac, PROTOCOL_TCP, TCP_HEADER, tcp_offset::CHECKSUM,
    },
};

/// The time to live of what we send ourselves.
const HOP_LIMIT: u8 = 64;

/// A RST to one end of a connection, in the name of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The link-layer address of the next hop, and of the interface.
    pub macs: (Mac, Mac),
    /// Whom it comes from, as that end knows it.
    pub from: SocketAddr,
    /// Whom it goes to.
    pub to: SocketAddr,
    /// The sequence number that the end waits for: it believes no other (RFC 5961, section 3.2).
    pub sequence: u32,
    /// What the end has sent last.
    pub acknowledgment: u32,
}

impl Reset {
    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(74);
        frame.extend_from_slice(&self.macs.0);
        frame.extend_from_slice(&self.macs.1);
        let tcp = self.tcp();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend(ETHERTYPE_IPV4.to_be_bytes());
                frame.extend(ipv4(from.octets(), to.octets()));
            }
            (from, to) => {
                frame.extend(ETHERTYPE_IPV6.to_be_bytes());
                frame.extend(ipv6(octets(from), octets(to)));
            }
        }
        frame.extend(tcp);
        frame
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(TCP_HEADER);
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgment.to_be_bytes());
        tcp.extend([5 << 4, RST | ACK, 0, 0, 0, 0, 0, 0]);
        let addresses = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
            (from, to) => sum(&octets(from)) + sum(&octets(to)),
        };
        let whole = addresses + pseudo_header_tail(PROTOCOL_TCP, TCP_HEADER as u16) + sum(&tcp);
        tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!fold(whole)).to_ne_bytes());
        tcp
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// An IPv4 header (RFC 791): not to be fragmented.
fn ipv4(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let length = ((IPV4_HEADER + TCP_HEADER) as u16).to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, HOP_LIMIT, PROTOCOL_TCP, 0, 0];
    header.extend(from);
    header.extend(to);
    let checksum = (!fold(sum(&header))).to_ne_bytes();
    header[10..12].copy_from_slice(&checksum);
    header
}

/// An IPv6 header (RFC 8200).
fn ipv6(from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    let length = (TCP_HEADER as u16).to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], PROTOCOL_TCP, HOP_LIMIT];
    header.extend(from);
    header.extend(to);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset(from: &str, to: &str) -> Vec<u8> {
        let socket = |text: &str| text.parse().expect("a socket address");
        Reset {
            macs: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]),
            from: socket(from),
            to: socket(to),
            sequence: 0x0102_0304,
            acknowledgment: 0x0506_0708,
        }
        .frame()
    }

    #[test]
    fn every_byte_over_ipv4() {
        let frame = reset("192.0.2.10:6443", "198.51.100.7:40000");
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        let (ip, tcp) = frame[14..].split_at(20);
        assert_eq!(ip[..10], [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
        assert_eq!(ip[12..], [192, 0, 2, 10, 198, 51, 100, 7]);
        assert_eq!(fold(sum(ip)), 0xffff, "the header's checksum");
        assert_eq!(tcp[..16], [0x19, 0x2b, 0x9c, 0x40, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x14, 0, 0]);
        assert_eq!(tcp[18..], [0, 0]);
        let pseudo = sum(&ip[12..]) + pseudo_header_tail(PROTOCOL_TCP, 20);
        assert_eq!(fold(pseudo + sum(tcp)), 0xffff, "the segment's checksum");
    }

    #[test]
    fn every_byte_over_ipv6() {
        let frame = reset("[2001:db8::10]:6443", "[2001:db8:1::7]:40000");
        assert_eq!(frame.len(), 14 + 40 + 20);
        assert_eq!(frame[12..22], [0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
        let (ip, tcp) = frame[14..].split_at(40);
        let pseudo = sum(&ip[8..]) + pseudo_header_tail(PROTOCOL_TCP, 20);
        assert_eq!(fold(pseudo + sum(tcp)), 0xffff, "the segment's checksum");
    }
}
