//! A packet in another one, as its fields, and the bytes that they make.

use std::net::{IpAddr, SocketAddr};

use crate::packet::{Mac, Packet, flags::SYN, fold, sum};

/// UDP's protocol number.
const UDP: u8 = 17;
/// Whom the frames are for and from.
const MACS: [Mac; 2] = [[0x02, 0, 0, 0, 0, 0x11], [0x02, 0, 0, 0, 0, 0x02]];

/// How the inner packet is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// By nothing but the outer IP header.
    Ipip,
    /// By UDP to this port.
    Gue(u16),
}

/// A tunnel in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The outer addresses.
    pub ends: [IpAddr; 2],
    /// How the inner packet is wrapped.
    pub wrap: Wrap,
    /// Type of service or traffic class of the outer packet.
    pub class: u8,
    /// The outer protocol number, where it is not the one that follows from the rest.
    pub protocol: Option<u8>,
    /// IPv4: flags and fragment offset.
    pub fragment: u16,
    /// IPv4: options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6: extension headers, each its number and its bytes, of which the first will be overwritten.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// How far the outer IP length is off.
    pub length_error: i32,
    /// How far the UDP length is off.
    pub udp_error: i32,
    /// The inner IP packet.
    pub inner: Vec<u8>,
    /// What follows the outer IP packet in the frame.
    pub padding: Vec<u8>,
}

/// An address of the balancer or of the controller, of one family.
fn ends(is_v6: bool) -> [IpAddr; 2] {
    let text = if is_v6 { ["fd77::2", "fd77::b"] } else { ["10.77.0.2", "10.77.0.11"] };
    text.map(|text| text.parse().expect("an address"))
}

/// The VIP of one family, as the program of the tests knows it.
pub fn vip(is_v6: bool) -> IpAddr {
    if is_v6 { "2001:db8::10" } else { "192.0.2.10" }.parse().expect("an address")
}

/// A client's SYN to the VIP.
pub fn syn(is_v6: bool) -> Packet {
    let client = if is_v6 { "[2001:db8:9::7]:51324" } else { "198.51.100.7:51324" };
    let client: SocketAddr = client.parse().expect("a socket's address");
    let destination = SocketAddr::new(vip(is_v6), 6443);
    Packet {
        class: 0xb8,
        hops: 57,
        tcp_options: vec![2, 4, 5, 0xb4],
        ..Packet::new(client, destination, SYN)
    }
}

/// The packet without its Ethernet header.
pub fn ip_bytes(packet: &Packet) -> Vec<u8> {
    packet.bytes().split_off(14)
}

impl Tunnel {
    /// A tunnel from the balancer to the controller.
    pub fn new(outer_is_v6: bool, wrap: Wrap, inner: &Packet) -> Self {
        Self {
            ends: ends(outer_is_v6),
            wrap,
            class: 0,
            protocol: None,
            fragment: 0x4000,
            options: Vec::new(),
            extensions: Vec::new(),
            length_error: 0,
            udp_error: 0,
            inner: ip_bytes(inner),
            padding: Vec::new(),
        }
    }

    fn is_v6(&self) -> bool {
        self.ends[0].is_ipv6()
    }

    /// Offset of what the outer IP header carries.
    pub fn payload_at(&self) -> usize {
        let extensions: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        14 + if self.is_v6() { 40 + extensions } else { 20 + self.options.len() }
    }

    /// Offset of the inner IP header.
    pub fn inner_at(&self) -> usize {
        self.payload_at() + if self.wrap == Wrap::Ipip { 0 } else { 8 }
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = MACS.concat();
        let [source, destination] = self.ends;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([0x08, 0x00]);
                frame.extend(self.ipv4_header(source.octets(), destination.octets()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd]);
                frame.extend(self.ipv6_headers(source.octets(), destination.octets()));
            }
            _ => panic!("a tunnel from {source} to {destination} is of no family"),
        }
        frame.extend(self.payload());
        frame.extend(&self.padding);
        frame
    }

    /// The frame that is in it: the link-layer addresses stay.
    pub fn taken_out(&self) -> Vec<u8> {
        let mut frame = MACS.concat();
        frame.extend(if self.inner[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        frame.extend(&self.inner);
        frame.extend(&self.padding);
        frame
    }

    fn number(&self) -> u8 {
        self.protocol.unwrap_or(match self.wrap {
            Wrap::Gue(_) => UDP,
            Wrap::Ipip if self.inner[0] >> 4 == 6 => 41,
            Wrap::Ipip => 4,
        })
    }

    fn ipv4_header(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let words = u8::try_from((20 + self.options.len()) / 4).expect("a header is short");
        let length = 20 + self.options.len() + self.payload().len();
        let mut header = vec![0x40 | words, self.class];
        header.extend(length_field(length, self.length_error));
        header.extend([0x12, 0x34]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([64, self.number(), 0, 0]);
        header.extend(source);
        header.extend(destination);
        header.extend(&self.options);
        let checksum = !fold(sum(&header));
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn ipv6_headers(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let numbers: Vec<u8> =
            self.extensions.iter().map(|(number, _)| *number).chain([self.number()]).collect();
        let length = self.payload_at() - 54 + self.payload().len();
        let mut header = vec![0x60 | self.class >> 4, self.class << 4 | 0x0a, 0xbc, 0xde];
        header.extend(length_field(length, self.length_error));
        header.extend([numbers[0], 64]);
        header.extend(source);
        header.extend(destination);
        for ((_, bytes), next) in self.extensions.iter().zip(&numbers[1..]) {
            header.push(*next);
            header.extend(&bytes[1..]);
        }
        header
    }

    fn payload(&self) -> Vec<u8> {
        let Wrap::Gue(port) = self.wrap else { return self.inner.clone() };
        let mut datagram = Vec::from([0xc0, 0x01]);
        datagram.extend(port.to_be_bytes());
        datagram.extend(length_field(8 + self.inner.len(), self.udp_error));
        // No checksum: the inner packet has its own (RFC 6935).
        datagram.extend([0, 0]);
        datagram.extend(&self.inner);
        datagram
    }
}

fn length_field(length: usize, error: i32) -> [u8; 2] {
    let length = i32::try_from(length).expect("a packet is short") + error;
    u16::try_from(length).expect("it fits the field").to_be_bytes()
}
