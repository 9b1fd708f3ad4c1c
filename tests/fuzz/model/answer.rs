//! A packet turned into the RST that answers it, which its sender must believe (RFC 9293, section 3.5.2), back to where it came
//! from.

use lb_common::{
    counters::Counter,
    tcp::flags::{ACK, RST},
};

use super::{Model, Outcome, Packet, Tuple, checksum, frame::octets, rewrite::Field};

/// The shortest Ethernet frame without its check sequence: an answer is not made shorter, where the packet was not.
pub const SHORTEST_FRAME: usize = 60;
/// The time to live of an answer.
const HOPS: u8 = 64;

impl Model {
    /// Answers a packet, for this reason. A RST is answered with nothing.
    pub(super) fn answer(&mut self, packet: Packet<'_>, reason: Counter) -> Outcome {
        let segment = packet.segment;
        if segment.has(RST) {
            return Outcome::Dropped(Counter::DropUnknownReset);
        }
        // Who finishes the checksum of the packet finishes that of its answer too.
        let unfinished = self.field(packet) == Field::Unfinished;
        let (sequence, acknowledgment, flags) = if segment.has(ACK) {
            (segment.acknowledgment, 0, RST)
        } else {
            (0, segment.next_sequence(), RST | ACK)
        };
        let mut tcp = Vec::new();
        tcp.extend(segment.to.port().to_be_bytes());
        tcp.extend(segment.from.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledgment.to_be_bytes());
        // Five words of header; no window, no checksum yet, nothing urgent.
        tcp.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
        let key = (segment.to, segment.from);
        let pseudo_header = checksum::pseudo_header(key.0.ip(), key.1.ip(), tcp.len());
        let field = if unfinished {
            checksum::sum(&[&pseudo_header])
        } else {
            checksum::checksum(&[&pseudo_header, &tcp])
        };
        tcp[16..18].copy_from_slice(&field.to_be_bytes());
        let came = packet.arrival.frame;
        let mut frame = came[6..12].to_vec();
        frame.extend(&came[0..6]);
        frame.extend(&came[12..14]);
        let plain = if key.0.is_ipv4() { [0, 0x40, 0, 0] } else { [0x60, 0, 0, 0] };
        frame.extend(ip_header(key, plain, HOPS, tcp.len()));
        frame.extend(tcp);
        if came.len() >= SHORTEST_FRAME {
            frame.resize(frame.len().max(SHORTEST_FRAME), 0);
        }
        Outcome::Answered { reason, frame }
    }
}

/// The IP header of a segment of our own. `plain` is what it says beside addresses and lengths; IPv4: type of service, flags,
/// identification; IPv6: version, class and flow label.
pub fn ip_header(key: Tuple, plain: [u8; 4], hops: u8, segment_length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    if key.0.is_ipv4() {
        header.extend([0x45, plain[0]]);
        header.extend((20 + segment_length as u16).to_be_bytes());
        header.extend([plain[2], plain[3], plain[1], 0, hops, 6, 0, 0]);
    } else {
        header.extend(plain);
        header.extend((segment_length as u16).to_be_bytes());
        header.extend([6, hops]);
    }
    header.extend(octets(key.0.ip()));
    header.extend(octets(key.1.ip()));
    if key.0.is_ipv4() {
        let field = checksum::checksum(&[&header]);
        header[10..12].copy_from_slice(&field.to_be_bytes());
    }
    header
}
