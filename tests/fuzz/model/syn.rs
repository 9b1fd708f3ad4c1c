//! What is kept of a client's SYN while its connection may still go anywhere: all that a backend may look at.

use lb_common::tcp::flags::{FIN, SYN};

use super::{Packet, frame::ETHERNET};

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
}

impl KeptSyn {
    /// Of the packet; `None` where its time is over.
    pub fn of(packet: Packet<'_>) -> Option<Self> {
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
        })
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
