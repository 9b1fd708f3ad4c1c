//! What becomes of the bytes of a packet that goes on: addresses, ports, time to live, checksums, link-layer addresses. All else
//! leaves as it came.

use lb_common::counters::Counter;

use super::{
    Hop, Model, Outcome, Packet, Tuple, checksum,
    frame::{ETHERNET, octets},
    tables::Unfinished,
};

/// What the checksum field of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The checksum, or something that is meant as one.
    Checksum,
    /// The sum of the pseudo-header, for whoever finishes it behind us.
    Unfinished,
    /// The same where nobody behind us does, so that we have to.
    ToBeFinished,
}

impl Model {
    /// Whether a packet's checksum was left to a device: it holds the sum of the pseudo-header and is not right as it is.
    pub(super) fn field(&mut self, packet: Packet<'_>) -> Field {
        let unfinished =
            self.tables.link_of(packet.arrival.interface).map_or(Unfinished::Never, |link| link.unfinished);
        let bytes = segment(packet);
        let pseudo_header = pseudo_header(packet.key(), bytes.len());
        let holds_pseudo_header = bytes[16..18] == checksum::sum(&[&pseudo_header]).to_be_bytes();
        let is_right = checksum::sum(&[&pseudo_header, bytes]) == 0xffff;
        if unfinished == Unfinished::Never || !holds_pseudo_header || is_right {
            return Field::Checksum;
        }
        if unfinished == Unfinished::AreFinished {
            self.count(Counter::ChecksumFinished);
            Field::ToBeFinished
        } else {
            self.count(Counter::ChecksumPartial);
            Field::Unfinished
        }
    }

    /// Sends a packet on as one from and to these, to this next hop.
    pub(super) fn rewrite(&mut self, packet: Packet<'_>, key: Tuple, hop: Hop) -> Outcome {
        let Some(link) = self.tables.link(hop.link).cloned() else {
            return Outcome::Dropped(Counter::DropNoNextHop);
        };
        let field = self.field(packet);
        if packet.segment.hops <= 1 {
            return Outcome::Dropped(Counter::DropTtlExpired);
        }
        let mut frame = packet.arrival.frame.to_vec();
        frame[0..6].copy_from_slice(&hop.mac);
        frame[6..12].copy_from_slice(&link.mac);
        readdress(&mut frame, packet, key);
        let tcp_at = packet.segment.tcp_at;
        frame[tcp_at..tcp_at + 2].copy_from_slice(&key.0.port().to_be_bytes());
        frame[tcp_at + 2..tcp_at + 4].copy_from_slice(&key.1.port().to_be_bytes());
        let value = tcp_field(packet, key, field, &mut frame[tcp_at..packet.segment.end]);
        frame[tcp_at + 16..tcp_at + 18].copy_from_slice(&value.to_be_bytes());
        Outcome::Sent { link: link.id, frame }
    }
}

/// The segment as it came.
fn segment(packet: Packet<'_>) -> &[u8] {
    &packet.arrival.frame[packet.segment.tcp_at..packet.segment.end]
}

fn pseudo_header(key: Tuple, length: usize) -> Vec<u8> {
    checksum::pseudo_header(key.0.ip(), key.1.ip(), length)
}

/// The IP header: one hop less, other addresses, and in IPv4 a checksum that is as wrong as it was.
fn readdress(frame: &mut [u8], packet: Packet<'_>, key: Tuple) {
    let (source, destination) = (octets(key.0.ip()), octets(key.1.ip()));
    if key.0.is_ipv6() {
        frame[21] -= 1;
        frame[22..38].copy_from_slice(&source);
        frame[38..54].copy_from_slice(&destination);
        return;
    }
    let header_end = packet.segment.tcp_at;
    let sum_before = checksum::sum(&[&packet.arrival.frame[ETHERNET..header_end]]);
    frame[22] -= 1;
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    frame[24..26].fill(0);
    let field = checksum::field_for(sum_before, &[&frame[ETHERNET..header_end]]);
    frame[24..26].copy_from_slice(&field.to_be_bytes());
}

/// The checksum field of a segment whose ports have been rewritten.
fn tcp_field(packet: Packet<'_>, key: Tuple, field: Field, rewritten: &mut [u8]) -> u16 {
    let before = pseudo_header(packet.key(), rewritten.len());
    let after = pseudo_header(key, rewritten.len());
    rewritten[16..18].fill(0);
    match field {
        Field::Checksum => {
            checksum::field_for(checksum::sum(&[&before, segment(packet)]), &[&after, rewritten])
        }
        Field::Unfinished => checksum::sum(&[&after]),
        Field::ToBeFinished => checksum::checksum(&[&after, rewritten]),
    }
}
