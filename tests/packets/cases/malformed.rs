//! Truncated and lying headers: nothing crashes, what cannot be ours passes untouched, what has our ports is dropped
//! before the host's TCP can answer it.

use lb_common::counters::Counter::DropMalformed;

use crate::{
    packet::{
        Packet,
        flags::{ACK, SYN},
    },
    rig::{
        Conversation, Rig, Row, each_family,
        setting::{FIRST, Family, Service},
    },
};

/// Bytes of the TCP header that hold the ports.
const PORTS: usize = 4;

/// A frame, where its TCP header is, and whether its ports are ours.
struct Subject {
    what: &'static str,
    packet: Packet,
    ours: bool,
}

/// Packets of every kind that matters. The sequence number is such that it makes no port of ours where a lying header
/// lets it stand in a port's place.
fn subjects(family: Family) -> Vec<Subject> {
    let mut talk = Conversation::new(family, Service::Api, 53_300, FIRST);
    let syn = talk.client_says(SYN, &[]);
    let elsewhere = Packet { destination: std::net::SocketAddr::new(family.vip(), 22), ..syn.clone() };
    let foreign = Packet { destination: std::net::SocketAddr::new(family.foreign(), 6443), ..syn.clone() };
    let data = talk.client_says(ACK, b"some data");
    let reply = talk.backend_says(ACK, b"some data");
    vec![
        Subject { what: "a SYN to a service", packet: syn, ours: true },
        Subject { what: "data to a service", packet: data, ours: true },
        Subject { what: "a reply of a backend", packet: reply, ours: true },
        Subject { what: "a SYN to another port", packet: elsewhere, ours: false },
        Subject { what: "a SYN to another host", packet: foreign, ours: false },
    ]
}

fn check(rig: &mut Rig, what: &str, frame: Vec<u8>, dropped: bool) {
    rig.ingress = 0;
    let row = if dropped { Row::dropped(what, frame, &[DropMalformed]) } else { Row::passed(what, frame) };
    rig.check(&row);
}

#[test]
fn a_frame_cut_anywhere_is_harmless() {
    each_family("a_frame_cut_anywhere_is_harmless", |rig, family| {
        for subject in subjects(family) {
            let frame = subject.packet.bytes();
            for length in 14..frame.len() {
                let what = format!("{} cut to {length} bytes", subject.what);
                let readable = length >= subject.packet.tcp_at() + PORTS;
                check(rig, &what, frame[..length].to_vec(), subject.ours && readable);
            }
        }
        assert_eq!(rig.all(family, crate::rig::Tier::HalfOpen), [], "nothing was entered");
    });
}

/// Where a frame holds the length of its IP packet, and what it says.
fn length_field(family: Family, packet: &Packet) -> (usize, usize) {
    if family == Family::V4 { (16, packet.ip_length()) } else { (18, packet.ip_length() - 40) }
}

#[test]
fn a_wrong_ip_length_is_no_packet_of_ours() {
    each_family("a_wrong_ip_length_is_no_packet_of_ours", |rig, family| {
        for subject in subjects(family) {
            let frame = subject.packet.bytes();
            let (at, right) = length_field(family, &subject.packet);
            let header = right - subject.packet.payload.len();
            let lies = (0..header).chain(right + 1..right + 9).chain([0x7fff, 0x8000, 0xffff]);
            for lie in lies {
                let mut frame = frame.clone();
                let field = u16::try_from(lie).expect("it fits the field");
                frame[at..at + 2].copy_from_slice(&field.to_be_bytes());
                check(rig, &format!("{} of length {lie}", subject.what), frame, subject.ours);
            }
        }
    });
}

#[test]
fn a_wrong_data_offset_is_no_packet_of_ours() {
    each_family("a_wrong_data_offset_is_no_packet_of_ours", |rig, family| {
        for subject in subjects(family) {
            let at = subject.packet.tcp_at() + 12;
            let most = (32 + subject.packet.payload.len()) / 4;
            for words in (0..5).chain(most + 1..16) {
                let mut frame = subject.packet.bytes();
                frame[at] = u8::try_from(words).expect("four bits") << 4;
                check(rig, &format!("{} with {words} words of header", subject.what), frame, subject.ours);
            }
        }
    });
}

#[test]
fn a_wrong_version_or_header_length_passes() {
    each_family("a_wrong_version_or_header_length_passes", |rig, family| {
        for subject in subjects(family) {
            let right = subject.packet.bytes()[14];
            for first in 0..=u8::MAX {
                let same_version = first >> 4 == right >> 4;
                // The lower half is the header's length in IPv4, and part of the traffic class in IPv6.
                if same_version && (family == Family::V6 || first == right) {
                    continue;
                }
                let mut frame = subject.packet.bytes();
                frame[14] = first;
                check(rig, &format!("{} that begins with {first:#x}", subject.what), frame, false);
            }
        }
    });
}

#[test]
fn extension_headers_that_lead_nowhere_are_harmless() {
    each_family("extension_headers_that_lead_nowhere_are_harmless", |rig, family| {
        if family == Family::V4 {
            return;
        }
        for number in [0, 60, 43, 44, 50, 51, 135, 59, 255] {
            for length in 0..=u8::MAX {
                let mut talk = Conversation::new(family, Service::Api, 53_400, FIRST);
                let syn = talk.client_says(SYN, &[]);
                let liar = Packet { extensions: vec![(number, vec![0, length, 0, 8, 0, 0, 0, 0])], ..syn };
                let leads_to_tcp = matches!(number, 0 | 60) && length == 0;
                if leads_to_tcp {
                    continue;
                }
                // Behind the end of the packet there are no ports, or those of other bytes.
                let what = format!("extension {number} of {length}");
                check(rig, &what, liar.bytes(), false);
            }
        }
    });
}
