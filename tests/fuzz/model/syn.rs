//! What is kept of a client's SYN while its connection may still go anywhere: all that a backend may look at.

use lb_common::tcp::flags::{CWR, ECE, FIN, SYN};

use super::{Model, Packet, checksum, frame::ETHERNET, tables::Unfinished};

/// The least that a SYN may have left to live behind us, to reach any backend.
const LEAST_HOPS: u8 = 16;

/// A SYN, without IPv4 options, IPv6 extension headers and data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSyn {
    /// The keyed hash of its flow.
    pub hash: u64,
    /// The policy's choice.
    pub backend: u16,
    /// Sequence number.
    pub sequence: u32,
    /// The TCP flags.
    pub flags: u8,
    /// The window.
    pub window: [u8; 2],
    /// The TCP options.
    pub options: Vec<u8>,
    /// IPv4: type of service, flags, identification. IPv6: version, class and flow label.
    pub header: [u8; 4],
    /// The time that it has to live behind us.
    pub hops: u8,
    /// The ninth flag, AE (RFC 9768).
    pub accurate_ecn: bool,
    /// Of what is not kept nothing keeps a host from answering.
    pub sound: bool,
}

impl Model {
    /// What is kept of a packet; `None` where its time is over.
    pub(super) fn keep(&self, packet: Packet<'_>) -> Option<KeptSyn> {
        let sound = self.is_sound(packet);
        KeptSyn::of(packet).map(|syn| KeptSyn { sound, ..syn })
    }

    /// Right checksums, or one that its sender left to a device, no IP options or extension headers, no data, no reserved bits.
    fn is_sound(&self, packet: Packet<'_>) -> bool {
        let (segment, frame) = (packet.segment, packet.arrival.frame);
        let (source, destination) = packet.key();
        let header = if source.is_ipv4() { 20 } else { 40 };
        let tcp = &frame[segment.tcp_at..segment.end];
        let is_bare = segment.tcp_at == ETHERNET + header && segment.payload == 0 && tcp[12] & 0x0e == 0;
        let ip_is_right = source.is_ipv6() || checksum::sum(&[&frame[ETHERNET..segment.tcp_at]]) == 0xffff;
        let pseudo_header = checksum::pseudo_header(source.ip(), destination.ip(), tcp.len());
        let tcp_is_right = checksum::sum(&[&pseudo_header, tcp]) == 0xffff;
        let is_unfinished = tcp[16..18] == checksum::sum(&[&pseudo_header]).to_be_bytes();
        let link = self.tables.link_of(packet.arrival.interface);
        let may_be_unfinished = link.is_some_and(|link| link.unfinished != Unfinished::Never);
        is_bare && ip_is_right && (tcp_is_right || (is_unfinished && may_be_unfinished))
    }
}

impl KeptSyn {
    /// Of the packet; `None` where its time is over.
    fn of(packet: Packet<'_>) -> Option<Self> {
        let (segment, ip) = (packet.segment, &packet.arrival.frame[ETHERNET..]);
        let header =
            if segment.from.is_ipv4() { [ip[1], ip[6], ip[4], ip[5]] } else { [ip[0], ip[1], ip[2], ip[3]] };
        (segment.hops > 1).then(|| Self {
            hash: 0,
            backend: 0,
            sequence: segment.sequence,
            flags: segment.flags,
            window: segment.window,
            options: segment.options.clone(),
            header,
            hops: segment.hops - 1,
            accurate_ecn: packet.arrival.frame[segment.tcp_at + 12] & 1 == 1,
            sound: false,
        })
    }

    /// Whether every host that serves would answer it.
    pub fn is_ordinary(&self) -> bool {
        let is_plain = self.flags & !(SYN | ECE | CWR) == 0;
        self.sound && is_plain && self.hops >= LEAST_HOPS && has_ordinary_options(&self.options)
    }

    /// The sequence number behind the SYN itself.
    fn first(&self) -> u32 {
        let taken = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.sequence.wrapping_add(taken)
    }

    /// Whether an acknowledgment is that of this SYN, where the client will go on with `next`. Its data may be acknowledged or
    /// not.
    pub fn is_acknowledged(&self, next: u32, acknowledgment: u32) -> bool {
        let most = next.wrapping_sub(self.first());
        acknowledgment.wrapping_sub(self.first()) <= most
    }

    /// Whether an acknowledgment can be that of this SYN, of whose data nothing is known any more.
    pub fn is_answered(&self, acknowledgment: u32) -> bool {
        acknowledgment.wrapping_sub(self.first()) <= 0xffff
    }
}

/// Only such options as every TCP has or may ignore: segment size, window scale, selective acknowledgments, time stamps, each
/// as long as it is by its standard.
fn has_ordinary_options(mut options: &[u8]) -> bool {
    while let Some(kind) = options.first() {
        let length = match kind {
            0 => return true,
            1 => 1,
            2 => 4,
            3 => 3,
            4 => 2,
            8 => 10,
            _ => return false,
        };
        if *kind != 1 && options.get(1) != Some(&(length as u8)) {
            return false;
        }
        options = options.get(length..).unwrap_or_default();
    }
    true
}
