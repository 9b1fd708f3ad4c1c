//! A packet as its fields, and the bytes that they make. Obvious rather than fast: checksums are summed from scratch.

use std::net::{IpAddr, SocketAddr};

/// The TCP flags (RFC 9293, section 3.1).
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronize.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
}

/// The protocol number of TCP.
const TCP: u8 = 6;
/// "Don't fragment" in the IPv4 flags.
const DONT_FRAGMENT: u16 = 0x4000;
/// The shortest Ethernet frame without its check sequence.
pub const SHORTEST_FRAME: usize = 60;

/// A link-layer address.
pub type Mac = [u8; 6];

/// What the checksum field of the TCP header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The checksum.
    Right,
    /// One whose sum is off by this much.
    Wrong(u16),
    /// The sum of the pseudo-header, which a device is to finish.
    Unfinished,
    /// This very number.
    Exactly(u16),
}

/// A packet of TCP in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet: whom it is for.
    pub to: Mac,
    /// Ethernet: whom it is from.
    pub from: Mac,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// Time to live or hop limit.
    pub hops: u8,
    /// Type of service or traffic class.
    pub class: u8,
    /// IPv4: identification. IPv6: the lower 16 bits of the flow label.
    pub label: u16,
    /// IPv4: flags and fragment offset.
    pub fragment: u16,
    /// IPv4: options, a multiple of four bytes.
    pub ip_options: Vec<u8>,
    /// IPv4: how far the header's sum is off.
    pub ip_error: u16,
    /// IPv6: extension headers, each its number and its bytes, of which the first will be overwritten.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// The four bits before the TCP flags: three reserved ones, and AE (RFC 9768).
    pub reserved: u8,
    /// TCP flags.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// TCP options, a multiple of four bytes.
    pub tcp_options: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
    /// What follows the IP packet in the frame.
    pub padding: Vec<u8>,
    /// The TCP checksum.
    pub checksum: Checksum,
}

impl Packet {
    /// A bare TCP packet, from nobody's link-layer address to nobody's.
    pub fn new(source: SocketAddr, destination: SocketAddr, flags: u8) -> Self {
        Self {
            to: [0; 6],
            from: [0; 6],
            source,
            destination,
            hops: 64,
            class: 0,
            label: 0,
            fragment: DONT_FRAGMENT,
            ip_options: Vec::new(),
            ip_error: 0,
            extensions: Vec::new(),
            sequence: 0,
            acknowledgment: 0,
            reserved: 0,
            flags,
            window: 0,
            tcp_options: Vec::new(),
            payload: Vec::new(),
            padding: Vec::new(),
            checksum: Checksum::Right,
        }
    }

    /// How much of the sequence space it takes.
    pub fn sequence_length(&self) -> u32 {
        let payload = u32::try_from(self.payload.len()).expect("a payload fits into a packet");
        payload + u32::from(self.flags & flags::SYN != 0) + u32::from(self.flags & flags::FIN != 0)
    }

    /// Bytes of the IP packet.
    pub fn ip_length(&self) -> usize {
        self.ip_header_length() + self.segment_length()
    }

    /// Offset of the TCP header in the frame.
    pub fn tcp_at(&self) -> usize {
        14 + self.ip_header_length()
    }

    fn ip_header_length(&self) -> usize {
        match self.source {
            SocketAddr::V4(_) => 20 + self.ip_options.len(),
            SocketAddr::V6(_) => 40 + self.extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(),
        }
    }

    fn segment_length(&self) -> usize {
        20 + self.tcp_options.len() + self.payload.len()
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(14 + self.ip_length() + self.padding.len());
        frame.extend(self.to);
        frame.extend(self.from);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend(0x0800_u16.to_be_bytes());
                frame.extend(self.ipv4_header(source.octets(), destination.octets()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend(0x86dd_u16.to_be_bytes());
                frame.extend(self.ipv6_header(source.octets(), destination.octets()));
            }
            _ => panic!("a packet from {} to {} is of no family", self.source, self.destination),
        }
        frame.extend(self.segment());
        frame.extend(&self.padding);
        frame
    }

    fn ipv4_header(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut header = vec![0x40 | length_byte((20 + self.ip_options.len()) / 4), self.class];
        header.extend(length_field(self.ip_length()));
        header.extend(self.label.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.hops, TCP, 0, 0]);
        header.extend(source);
        header.extend(destination);
        header.extend(&self.ip_options);
        let sum = !fold(sum(&header) + u64::from(self.ip_error));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn ipv6_header(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).chain([TCP]).collect();
        let mut header = vec![0x60 | self.class >> 4, self.class << 4];
        header.extend(self.label.to_be_bytes());
        header.extend(length_field(self.ip_length() - 40));
        header.extend([numbers[0], self.hops]);
        header.extend(source);
        header.extend(destination);
        for ((_, bytes), next) in self.extensions.iter().zip(&numbers[1..]) {
            header.push(*next);
            header.extend(&bytes[1..]);
        }
        header
    }

    fn segment(&self) -> Vec<u8> {
        let mut segment = Vec::with_capacity(self.segment_length());
        segment.extend(self.source.port().to_be_bytes());
        segment.extend(self.destination.port().to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgment.to_be_bytes());
        segment.push(length_byte((20 + self.tcp_options.len()) / 4) << 4 | self.reserved);
        segment.push(self.flags);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(&self.tcp_options);
        segment.extend(&self.payload);
        let pseudo_header = self.pseudo_header_sum();
        let whole = pseudo_header + sum(&segment);
        let field = match self.checksum {
            Checksum::Right => !fold(whole),
            Checksum::Wrong(error) => !fold(whole + u64::from(error)),
            Checksum::Unfinished => fold(pseudo_header),
            Checksum::Exactly(field) => field,
        };
        segment[16..18].copy_from_slice(&field.to_be_bytes());
        segment
    }

    /// The sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
    pub fn pseudo_header_sum(&self) -> u64 {
        let addresses = [self.source.ip(), self.destination.ip()].map(|address| match address {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        });
        let length = u64::try_from(self.segment_length()).expect("a segment fits into a packet");
        addresses[0] + addresses[1] + u64::from(TCP) + length
    }
}

impl From<&Packet> for Vec<u8> {
    fn from(packet: &Packet) -> Self {
        packet.bytes()
    }
}

fn length_byte(length: usize) -> u8 {
    u8::try_from(length).expect("a header is short")
}

fn length_field(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a packet has at most 65,535 bytes").to_be_bytes()
}

/// The sum of the big-endian 16-bit words, an odd last byte padded with zero (RFC 1071).
pub fn sum(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    for word in bytes.chunks(2) {
        sum += u64::from(word[0]) << 8;
        sum += word.get(1).map_or(0, |low| u64::from(*low));
    }
    sum
}

/// A sum with every carry added again, until it has 16 bits.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).expect("it has 16 bits")
}
