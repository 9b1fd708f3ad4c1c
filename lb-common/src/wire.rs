//! Wire formats: offsets and constants of the headers that the programs read, each with its source. Multi-byte fields
//! are big-endian on the wire.

/// Ethernet II header, no tag (IEEE 802.3): destination, source, `EtherType`.
pub const ETHERNET_HEADER: usize = 14;
/// `EtherType` of IPv4 (RFC 894), host byte order.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// `EtherType` of IPv6 (RFC 2464), host byte order.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// The IPv4 header without options (RFC 791, section 3.1).
pub const IPV4_HEADER: usize = 20;
/// The IPv6 header (RFC 8200, section 3).
pub const IPV6_HEADER: usize = 40;
/// The TCP header without options (RFC 9293, section 3.1).
pub const TCP_HEADER: usize = 20;
/// The UDP header (RFC 768).
pub const UDP_HEADER: usize = 8;
/// The UDP port of Generic UDP Encapsulation (draft-ietf-intarea-gue), as IANA has assigned it.
pub const GUE_PORT: u16 = 6080;
/// The longest options of a TCP header: the data offset counts fifteen words.
pub const TCP_OPTIONS: usize = 40;

/// TCP's protocol number (RFC 9293).
pub const PROTOCOL_TCP: u8 = 6;
/// UDP (RFC 768).
pub const PROTOCOL_UDP: u8 = 17;
/// IPv4 in whatever carries it (RFC 2003).
pub const PROTOCOL_IPV4: u8 = 4;
/// IPv6 in whatever carries it (RFC 2473, RFC 4213).
pub const PROTOCOL_IPV6: u8 = 41;
/// ICMP (RFC 792).
pub const PROTOCOL_ICMP: u8 = 1;
/// `ICMPv6` (RFC 4443).
pub const PROTOCOL_ICMPV6: u8 = 58;
/// ICMP and `ICMPv6` errors: bytes before the packet that they quote (RFC 792; RFC 4443, section 3).
pub const ICMP_ERROR_HEADER: usize = 8;
/// IPv6 hop-by-hop options (RFC 8200, section 4.3).
pub const PROTOCOL_HOP_BY_HOP: u8 = 0;
/// IPv6 fragment header (RFC 8200, section 4.5).
pub const PROTOCOL_FRAGMENT: u8 = 44;
/// IPv6 destination options (RFC 8200, section 4.6).
pub const PROTOCOL_DESTINATION_OPTIONS: u8 = 60;

/// "More fragments" in the IPv4 flags and fragment offset (RFC 791), host byte order.
pub const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset in the same word.
pub const IPV4_FRAGMENT_OFFSET: u16 = 0x1fff;

/// A link-layer address.
pub type Mac = [u8; 6];

/// The fields of a TCP header, as byte offsets (RFC 9293, section 3.1).
pub mod tcp_offset {
    /// Source port.
    pub const SOURCE: usize = 0;
    /// Destination port.
    pub const DESTINATION: usize = 2;
    /// Sequence number.
    pub const SEQUENCE: usize = 4;
    /// Acknowledgment number.
    pub const ACKNOWLEDGMENT: usize = 8;
    /// Data offset (upper four bits, in words of 32 bits).
    pub const DATA_OFFSET: usize = 12;
    /// The flags FIN to CWR.
    pub const FLAGS: usize = 13;
    /// Window.
    pub const WINDOW: usize = 14;
    /// Checksum.
    pub const CHECKSUM: usize = 16;
}
