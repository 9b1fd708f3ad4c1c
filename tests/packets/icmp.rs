//! An ICMP error (RFC 792, RFC 4443) as its fields, and the bytes that they make.

use std::net::IpAddr;

use crate::packet::{Mac, Packet, fold, sum};

/// ICMP.
const ICMP: u8 = 1;
/// `ICMPv6`.
const ICMPV6: u8 = 58;

/// An error about a packet, in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct IcmpError {
    /// Ethernet: whom it is for.
    pub to: Mac,
    /// Ethernet: whom it is from.
    pub from: Mac,
    /// Who tells it.
    pub source: IpAddr,
    /// Whom he tells it.
    pub destination: IpAddr,
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// IPv4: options of the error itself.
    pub ip_options: Vec<u8>,
    /// IPv4: flags and fragment offset of the error itself.
    pub fragment: u16,
    /// The packet that it is about, from its IP header on.
    pub quoted: Vec<u8>,
    /// What follows the IP packet in the frame.
    pub padding: Vec<u8>,
}

impl IcmpError {
    /// "Destination unreachable" about a packet that we sent, by somebody at this address, to its sender.
    pub fn unreachable(source: IpAddr, about: &Packet, code: u8) -> Self {
        let kind = if source.is_ipv4() { 3 } else { 1 };
        Self {
            to: about.from,
            from: about.to,
            source,
            destination: about.source.ip(),
            kind,
            code,
            ip_options: Vec::new(),
            fragment: 0,
            quoted: about.bytes()[14..14 + about.ip_length()].to_vec(),
            padding: Vec::new(),
        }
    }

    /// The same with only so many bytes of what follows the quoted IP header.
    #[must_use]
    pub fn quoting(mut self, bytes: usize) -> Self {
        let header = if self.source.is_ipv4() { 20 } else { 40 };
        self.quoted.truncate(header + bytes);
        self
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0, 0, 0, 0, 0];
        message.extend(&self.quoted);
        let mut frame = Vec::new();
        frame.extend(self.to);
        frame.extend(self.from);
        let field = |length: usize| u16::try_from(length).expect("an error is short").to_be_bytes();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let check = !fold(sum(&message));
                message[2..4].copy_from_slice(&check.to_be_bytes());
                let length = 20 + self.ip_options.len();
                let words = u8::try_from(length / 4).expect("a header is short");
                let mut header = vec![0x40 | words, 0xc0];
                header.extend(field(length + message.len()));
                header.extend([0x12, 0x34]);
                header.extend(self.fragment.to_be_bytes());
                header.extend([63, ICMP, 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(&self.ip_options);
                let check = !fold(sum(&header));
                header[10..12].copy_from_slice(&check.to_be_bytes());
                frame.extend([0x08, 0x00]);
                frame.extend(header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let addresses = sum(&source.octets()) + sum(&destination.octets());
                let tail = u64::from(ICMPV6) + message.len() as u64;
                let check = !fold(addresses + tail + sum(&message));
                message[2..4].copy_from_slice(&check.to_be_bytes());
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(field(message.len()));
                frame.extend([ICMPV6, 63]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => panic!("an error from {} to {} is of no family", self.source, self.destination),
        }
        frame.extend(message);
        frame.extend(&self.padding);
        frame
    }
}

impl From<&IcmpError> for Vec<u8> {
    fn from(error: &IcmpError) -> Self {
        error.bytes()
    }
}
