//! Checksums that came wrong, or unfinished, or look as if they were.

use lb_common::{
    abi::link_flags::{CHECKSUM_FINISH, CHECKSUM_PARTIAL},
    counters::Counter::{self, ChecksumFinished, ChecksumPartial, FlowOpened, Forwarded, ResetNoBackend},
};

use crate::{
    packet::{
        Checksum, Packet,
        flags::{ACK, PSH, SYN},
        fold, sum,
    },
    rig::{
        Conversation, Rig, Row, each_family,
        setting::{FIRST, Family, Service, THIRD},
    },
};

/// Payloads around the borders of what the program sums at a time.
const LENGTHS: [usize; 14] = [0, 1, 2, 3, 4, 5, 479, 480, 481, 482, 991, 992, 1448, 3_301];

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 255) as u8 + 1).collect()
}

#[test]
fn what_came_wrong_leaves_as_wrong() {
    each_family("what_came_wrong_leaves_as_wrong", |rig, family| {
        let mut talk = Conversation::new(family, Service::Mapped, 55_000, FIRST);
        rig.open(&mut talk);
        for error in [1, 2, 0x100, 0x7fff, 0x8000, 0xfffe] {
            for checksum in [Checksum::Right, Checksum::Wrong(error)] {
                let ip_error = if family == Family::V4 { error } else { 0 };
                let up = Packet { ip_error, checksum, ..talk.client_says(ACK, b"payload") };
                rig.forwards(&talk, &format!("up, {checksum:?}, IP by {error}"), &up, &[Forwarded]);
                let down = Packet { ip_error, checksum, ..talk.backend_says(ACK, b"payload!") };
                rig.returns(&talk, &format!("down, {checksum:?}, IP by {error}"), &down, &[Forwarded]);
            }
        }
        let mut talk = Conversation::new(family, Service::Api, 55_001, FIRST);
        let syn = Packet { checksum: Checksum::Wrong(9), ..talk.client_says(SYN, &[]) };
        rig.forwards(&talk, "a SYN", &syn, &[FlowOpened, Forwarded]);
    });
}

/// A connection over links with this flag, and every length both ways: unfinished as it comes, `leaves` as it leaves.
fn unfinished(rig: &mut Rig, family: Family, flag: u16, leaves: Checksum, counter: Counter) {
    rig.choose(family, Service::Mapped, &[THIRD]);
    for link in 0..2 {
        rig.set_link_flags(link, flag);
    }
    let mut talk = Conversation::new(family, Service::Mapped, 55_100 + flag, THIRD);
    rig.open(&mut talk);
    for length in LENGTHS {
        let what = format!("{length} bytes");
        let up = Packet { checksum: Checksum::Unfinished, ..talk.client_says(ACK | PSH, &text(length)) };
        let output = Packet { checksum: leaves, ..talk.forwarded(&up) };
        rig.ingress = 0;
        rig.check(
            &Row::transmitted(&format!("{what} up"), &up, &output, &[counter, Forwarded]).by_another_link(),
        );
        let down = Packet { checksum: Checksum::Unfinished, ..talk.backend_says(ACK | PSH, &text(length)) };
        let output = Packet { checksum: leaves, ..talk.returned(&down) };
        rig.ingress = 1;
        rig.check(
            &Row::transmitted(&format!("{what} down"), &down, &output, &[counter, Forwarded])
                .by_another_link(),
        );
        // On the same link there are whole ones too, right and wrong.
        for checksum in [Checksum::Right, Checksum::Wrong(77)] {
            let up = Packet { checksum, ..talk.client_says(ACK | PSH, &text(length)) };
            rig.forwards(&talk, &format!("{what}, whole, up"), &up, &[Forwarded]);
            let down = Packet { checksum, ..talk.backend_says(ACK | PSH, &text(length)) };
            rig.returns(&talk, &format!("{what}, whole, down"), &down, &[Forwarded]);
        }
    }
}

#[test]
fn an_unfinished_checksum_leaves_unfinished_and_right() {
    each_family("an_unfinished_checksum_leaves_unfinished_and_right", |rig, family| {
        unfinished(rig, family, CHECKSUM_PARTIAL, Checksum::Unfinished, ChecksumPartial);
    });
}

#[test]
fn an_unfinished_checksum_is_finished_where_nobody_else_would() {
    each_family("an_unfinished_checksum_is_finished_where_nobody_else_would", |rig, family| {
        unfinished(rig, family, CHECKSUM_FINISH, Checksum::Right, ChecksumFinished);
    });
}

#[test]
fn on_other_links_every_checksum_is_taken_for_a_whole_one() {
    each_family("on_other_links_every_checksum_is_taken_for_a_whole_one", |rig, family| {
        rig.set_link_flags(1, CHECKSUM_PARTIAL);
        let mut talk = Conversation::new(family, Service::Api, 55_200, FIRST);
        rig.open(&mut talk);
        let up = talk.client_says(ACK, b"data");
        let up = Packet { checksum: Checksum::Unfinished, ..up };
        // It is as wrong as the sum over the rest of the segment.
        let bytes = up.bytes();
        let field = u64::from(field(&up));
        let covered = sum(&bytes[up.tcp_at()..]) + up.pseudo_header_sum() - field;
        let error = fold(u64::from(!fold(field)) + u64::from(!fold(covered)));
        let as_wrong = Packet { checksum: Checksum::Wrong(error), ..up.clone() };
        assert_eq!(as_wrong.bytes(), bytes, "the error is the distance to the right checksum");
        rig.forwards(&talk, "up", &as_wrong, &[Forwarded]);
        rig.set_link_flags(1, 0);
    });
}

/// The checksum field of a packet.
fn field(packet: &Packet) -> u16 {
    let (bytes, at) = (packet.bytes(), packet.tcp_at() + 16);
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Ends the payload so that the right checksum is the very sum of the pseudo-header.
fn coincidence(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    let end = packet.payload.len() - 2;
    packet.payload[end..].fill(0);
    let wanted = fold(packet.pseudo_header_sum());
    // The checksum is the complement of the sum, so it lacks what the end is to add.
    let missing = fold(u64::from(field(&packet)) + u64::from(!wanted));
    packet.payload[end..].copy_from_slice(&missing.to_be_bytes());
    assert_eq!(field(&packet), wanted, "the right checksum looks unfinished");
    packet
}

#[test]
fn a_whole_checksum_that_looks_unfinished_is_told_apart() {
    each_family("a_whole_checksum_that_looks_unfinished_is_told_apart", |rig, family| {
        for (port, flag) in [(55_300, CHECKSUM_PARTIAL), (55_301, CHECKSUM_FINISH)] {
            rig.set_link_flags(0, flag);
            let mut talk = Conversation::new(family, Service::Mapped, port, FIRST);
            rig.open(&mut talk);
            let up = coincidence(&talk.client_says(ACK, &text(64)));
            rig.forwards(&talk, "up", &up, &[Forwarded]);
            let down = coincidence(&talk.backend_says(ACK, &text(1000)));
            rig.returns(&talk, "down", &down, &[Forwarded]);
        }
    });
}

/// The stack finishes what leaves on a packet that came unfinished, an answer of ours too.
#[test]
fn an_answer_to_an_unfinished_packet_is_unfinished() {
    each_family("an_answer_to_an_unfinished_packet_is_unfinished", |rig, family| {
        let mut talk = Conversation::new(family, Service::Empty, 55_400, FIRST);
        for (flag, leaves, counter) in [
            (CHECKSUM_PARTIAL, Checksum::Unfinished, ChecksumPartial),
            (CHECKSUM_FINISH, Checksum::Right, ChecksumFinished),
        ] {
            rig.set_link_flags(0, flag);
            for (flags, length) in [(SYN, 0), (ACK, 5), (ACK | PSH, 1400)] {
                let packet =
                    Packet { checksum: Checksum::Unfinished, ..talk.client_says(flags, &text(length)) };
                let answer = Packet { checksum: leaves, ..crate::rig::reset_for(&packet) };
                rig.ingress = 0;
                rig.check(&Row::transmitted("unfinished", &packet, &answer, &[counter, ResetNoBackend]));
                let packet = Packet { checksum: Checksum::Right, ..packet };
                rig.answers(&talk, "whole", &packet, &[ResetNoBackend]);
            }
        }
    });
}
