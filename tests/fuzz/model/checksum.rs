//! The Internet checksum (RFC 1071), always over the whole of what it covers.

use std::net::IpAddr;

use super::frame::octets;

/// The folded sum of the 16-bit words of all parts, each of an even length but the last. It is 0xffff over something whose
/// checksum is right.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
            // Carries come in again at the other end.
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

/// What TCP's checksum covers beside the segment (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn pseudo_header(source: IpAddr, destination: IpAddr, segment_length: usize) -> Vec<u8> {
    let mut bytes = octets(source);
    bytes.extend(octets(destination));
    bytes.extend((segment_length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, 6]);
    bytes
}

/// The checksum of something whose field is zero as it is given.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    !sum(parts)
}

/// The field that makes something whose own field is zero sum up to as much as something else did before it was rewritten: a
/// checksum that came right leaves right, one that came wrong leaves as wrong.
pub fn field_for(wanted_sum: u16, parts: &[&[u8]]) -> u16 {
    // Modulo 0xffff, in which 0 and 0xffff are one number; a checksum field holds 0 for it.
    let (wanted, have) = (u32::from(wanted_sum), u32::from(sum(parts)));
    ((wanted + 2 * 0xffff - have) % 0xffff) as u16
}
