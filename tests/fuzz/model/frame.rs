//! From the bytes of a frame to what they mean (IEEE 802.3; RFC 791; RFC 8200; RFC 9293, section 3.1; RFC 792; RFC 4443).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_common::{counters::Counter, tcp::flags};

use super::Tuple;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Extension headers that a segment may have before TCP.
const MOST_EXTENSIONS: usize = 3;

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A whole TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// The TCP flags.
    pub flags: u8,
    /// The window.
    pub window: [u8; 2],
    /// The TCP options.
    pub options: Vec<u8>,
    /// Bytes of the payload.
    pub payload: u32,
    /// Where TCP begins in the frame.
    pub tcp_at: usize,
    /// Where the IP packet ends in the frame.
    pub end: usize,
    /// Time to live, or hop limit.
    pub hops: u8,
}

impl Segment {
    /// The 5-tuple.
    pub fn key(&self) -> Tuple {
        (self.from, self.to)
    }

    /// Whether all of these flags are set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a connection begins with it.
    pub fn is_syn(&self) -> bool {
        self.has(flags::SYN) && !self.has(flags::ACK | flags::RST | flags::FIN)
    }

    /// The sequence number behind it: data, SYN and FIN each take theirs.
    pub fn next_sequence(&self) -> u32 {
        let length = self.payload + u32::from(self.has(flags::SYN)) + u32::from(self.has(flags::FIN));
        self.sequence.wrapping_add(length)
    }

    /// Bytes of the IP packet.
    pub fn ip_length(&self) -> u64 {
        (self.end - ETHERNET) as u64
    }
}

/// What a packet turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A whole segment.
    Segment(Segment),
    /// TCP that has ports but is no whole segment.
    Defective {
        /// The 5-tuple.
        key: Tuple,
        /// What is wrong with it.
        reason: Counter,
    },
    /// An ICMP error that somebody cannot be reached, about a TCP segment.
    Unreachable {
        /// The 5-tuple of the answer that will not come.
        answer: Tuple,
        /// The sequence number of the segment.
        sequence: u32,
    },
    /// Something else.
    Other,
}

/// Where TCP lies in a packet, by the IP headers.
struct Place {
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
    tcp_at: usize,
    end: usize,
    is_fragment: bool,
}

/// To whom a frame is addressed, and what it means; `None` where it is no IP packet of one host for another.
pub fn read(frame: &[u8]) -> Option<(IpAddr, Meaning)> {
    // No frame comes from a group, and what is for a group is no TCP of ours (RFC 1122, section 4.2.3.10).
    let is_of_a_group = (frame.first()? | frame.get(6)?) & 1 == 1;
    if is_of_a_group {
        return None;
    }
    match number(frame, 12)? {
        0x0800 => {
            frame.get(ETHERNET..ETHERNET + 20)?;
            let destination = address(frame, 30, 4)?;
            let meaning = ipv4(frame).map(|place| tcp(frame, &place)).or_else(|| unreachable_v4(frame));
            Some((destination, meaning.unwrap_or(Meaning::Other)))
        }
        0x86dd => {
            frame.get(ETHERNET..ETHERNET + 40)?;
            let destination = address(frame, 38, 16)?;
            let meaning = ipv6(frame).map(|place| tcp(frame, &place)).or_else(|| unreachable_v6(frame));
            Some((destination, meaning.unwrap_or(Meaning::Other)))
        }
        _ => None,
    }
}

/// IPv4 with TCP. Later fragments have no ports, and the host cannot complete them without the first.
fn ipv4(frame: &[u8]) -> Option<Place> {
    let header = usize::from(frame[14] & 15) * 4;
    let fragment = number(frame, 20)?;
    if frame[14] >> 4 != 4 || header < 20 || frame[23] != TCP || offset(fragment) != 0 {
        return None;
    }
    Some(Place {
        source: address(frame, 26, 4)?,
        destination: address(frame, 30, 4)?,
        hops: frame[22],
        tcp_at: ETHERNET + header,
        end: ETHERNET + usize::from(number(frame, 16)?),
        is_fragment: is_fragment(fragment),
    })
}

/// The fragment offset in the field beside IPv4's flags.
fn offset(field: u16) -> u16 {
    field & 0x1fff
}

/// Whether that field is a fragment's: of the first, which says that more follow, or of a later one.
fn is_fragment(field: u16) -> bool {
    let more = field & 0x2000 != 0;
    more || offset(field) != 0
}

/// IPv6 with TCP, behind extension headers that do not change where it goes.
fn ipv6(frame: &[u8]) -> Option<Place> {
    if frame[14] >> 4 != 6 {
        return None;
    }
    let (mut next, mut at, mut is_fragment) = (frame[20], ETHERNET + 40, false);
    for _ in 0..MOST_EXTENSIONS {
        match next {
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                let extension = frame.get(at..at + 8)?;
                next = extension[0];
                at += (usize::from(extension[1]) + 1) * 8;
            }
            FRAGMENT => {
                let extension = frame.get(at..at + 8)?;
                let is_first = u16::from_be_bytes([extension[2], extension[3]]) >> 3 == 0;
                if !is_first {
                    return None;
                }
                next = extension[0];
                at += 8;
                is_fragment = true;
            }
            _ => {}
        }
    }
    (next == TCP).then_some(Place {
        source: address(frame, 22, 16)?,
        destination: address(frame, 38, 16)?,
        hops: frame[21],
        tcp_at: at,
        end: ETHERNET + 40 + usize::from(number(frame, 18)?),
        is_fragment,
    })
}

/// What lies behind the IP headers. Every length is checked against the others.
fn tcp(frame: &[u8], place: &Place) -> Meaning {
    let at = place.tcp_at;
    let (Some(from), Some(to)) = (number(frame, at), number(frame, at + 2)) else {
        return Meaning::Other;
    };
    let from = SocketAddr::new(place.source, from);
    let to = SocketAddr::new(place.destination, to);
    if place.is_fragment {
        return Meaning::Defective { key: (from, to), reason: Counter::DropFragment };
    }
    let malformed = Meaning::Defective { key: (from, to), reason: Counter::DropMalformed };
    let Some(segment) = frame.get(at..place.end).filter(|segment| segment.len() >= 20) else {
        return malformed;
    };
    let header = usize::from(segment[12] >> 4) * 4;
    if header < 20 || header > segment.len() {
        return malformed;
    }
    let word =
        |at: usize| u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
    Meaning::Segment(Segment {
        from,
        to,
        sequence: word(4),
        acknowledgment: word(8),
        flags: segment[13],
        window: [segment[14], segment[15]],
        options: segment[20..header].to_vec(),
        payload: (segment.len() - header) as u32,
        tcp_at: at,
        end: place.end,
        hops: place.hops,
    })
}

/// "Destination unreachable" (RFC 792), but not "fragmentation needed", which says nothing about the destination. An error
/// that has IP options, or that is a fragment, is left to the host.
fn unreachable_v4(frame: &[u8]) -> Option<Meaning> {
    let speaks = frame[14] == 0x45 && frame[23] == ICMP && !is_fragment(number(frame, 20)?);
    let (kind, code) = (*frame.get(34)?, *frame.get(35)?);
    let quoted = frame.get(42..)?;
    let is_tcp = *quoted.first()? == 0x45 && *quoted.get(9)? == TCP && offset(number(quoted, 6)?) == 0;
    if !speaks || kind != 3 || code == 4 || !is_tcp {
        return None;
    }
    quoted_segment(quoted, 12, 4, 20, address(frame, 30, 4)?)
}

/// "Destination unreachable" (RFC 4443, section 3.1). What we send has no extension headers.
fn unreachable_v6(frame: &[u8]) -> Option<Meaning> {
    let kind = *frame.get(54)?;
    let quoted = frame.get(62..)?;
    let is_tcp = *quoted.first()? >> 4 == 6 && *quoted.get(6)? == TCP;
    if frame[20] != ICMPV6 || kind != 1 || !is_tcp {
        return None;
    }
    quoted_segment(quoted, 8, 16, 40, address(frame, 38, 16)?)
}

/// The first eight bytes of a quoted segment have its ports and its sequence number. An error goes to whoever sent what it
/// quotes.
fn quoted_segment(
    quoted: &[u8],
    addresses: usize,
    length: usize,
    header: usize,
    told: IpAddr,
) -> Option<Meaning> {
    quoted.get(header..header + 8)?;
    let source = SocketAddr::new(address(quoted, addresses, length)?, number(quoted, header)?);
    let destination =
        SocketAddr::new(address(quoted, addresses + length, length)?, number(quoted, header + 2)?);
    let sequence = u32::from(number(quoted, header + 4)?) << 16 | u32::from(number(quoted, header + 6)?);
    (source.ip() == told).then_some(Meaning::Unreachable { answer: (destination, source), sequence })
}

/// The 16-bit number at a place.
pub fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn address(bytes: &[u8], at: usize, length: usize) -> Option<IpAddr> {
    let octets = bytes.get(at..at + length)?;
    if length == 4 {
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into())
    } else {
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into())
    }
}

/// The bytes of an address.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
