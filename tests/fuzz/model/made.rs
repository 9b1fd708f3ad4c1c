//! The client's SYN, made again for the next backend in the place of whatever showed that the last one does not take it.

use super::{
    Arrival, Model, Outcome, Packet, Tuple,
    answer::{SHORTEST_FRAME, ip_header},
    checksum,
    flow::Entry,
    rewrite::Field,
};

/// The longest options of a TCP header.
const MOST_OPTIONS: usize = 40;
/// The least options in front of the word that a device writes.
const BEHIND_CHECKSUM: usize = 12;
/// Bytes of that word's part of the options.
const DEVICES_WORD: usize = 4;

impl Model {
    /// Sends the SYN of a pair on its way, in the place of this frame; `packet` is that frame where it is a segment. `None` where
    /// it cannot be made.
    pub(super) fn send_made(
        &mut self,
        arrival: Arrival<'_>,
        packet: Option<Packet<'_>>,
        client: Tuple,
        entry: &Entry,
    ) -> Option<Outcome> {
        let backend = self.tables.backend(client.0, entry.backend);
        let link = self.tables.link(backend.link)?.clone();
        let unfinished = packet.is_some_and(|packet| self.field(packet) == Field::Unfinished);
        let mut options = entry.syn.options.clone();
        if unfinished {
            options.resize(options.len().max(BEHIND_CHECKSUM) + DEVICES_WORD, 0);
        }
        if options.len() > MOST_OPTIONS {
            return None;
        }
        let key = (entry.twin.1, entry.twin.0);
        let mut frame = backend.hop().mac.to_vec();
        frame.extend(link.mac);
        frame.extend(&arrival.frame[12..14]);
        let tcp = tcp(key, entry, options);
        frame.extend(ip_header(key, entry.syn.header, entry.syn.hops, tcp.len()));
        let tcp_at = frame.len();
        frame.extend(tcp);
        let end = frame.len();
        // The old TCP header, of which the kernel remembers the place, ends where the frame does.
        let length = end + if unfinished { 2 } else { 0 };
        frame.resize(length.max(SHORTEST_FRAME), 0);
        let mut as_sent_out = frame.clone();
        if unfinished {
            let old_header = length - 20;
            let written = checksum::checksum(&[&frame[old_header..]]);
            as_sent_out[old_header + 16..old_header + 18].copy_from_slice(&written.to_be_bytes());
        }
        let pseudo_header = checksum::pseudo_header(key.0.ip(), key.1.ip(), end - tcp_at);
        let field = checksum::checksum(&[&pseudo_header, &as_sent_out[tcp_at..end]]);
        frame[tcp_at + 16..tcp_at + 18].copy_from_slice(&field.to_be_bytes());
        Some(Outcome::Sent { link: link.id, frame })
    }
}

/// The TCP header of the SYN, without a checksum.
fn tcp(key: Tuple, entry: &Entry, options: Vec<u8>) -> Vec<u8> {
    let syn = &entry.syn;
    let mut tcp = Vec::new();
    tcp.extend(key.0.port().to_be_bytes());
    tcp.extend(key.1.port().to_be_bytes());
    tcp.extend(syn.sequence.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend([((20 + options.len()) / 4 * 16) as u8 | u8::from(syn.accurate_ecn), syn.flags]);
    tcp.extend(syn.window);
    tcp.extend([0; 4]);
    tcp.extend(options);
    tcp
}
