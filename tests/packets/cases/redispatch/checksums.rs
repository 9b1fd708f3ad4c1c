//! Refusals whose checksum the sender has left to its device.
//!
//! Whoever sends such a frame out may write a checksum where the TCP header was when the frame came. So the SYN that is
//! made of it has that word in the padding of its options, and a checksum that counts what will be written there.

use lb_common::{
    abi::link_flags::{CHECKSUM_FINISH, CHECKSUM_PARTIAL},
    counters::Counter::{
        ChecksumFinished, ChecksumPartial, FlowOpened, Forwarded, PortCollision, Redispatched,
        RedispatchedPort, SynRetransmitted,
    },
};

use crate::{
    icmp::IcmpError,
    packet::{
        Checksum, Packet,
        flags::{ACK, PSH, SYN},
        fold, sum,
    },
    rig::{
        Conversation, Rig, Row, each_family,
        setting::{CONTROLLERS, FIRST, Family, Service},
    },
};

fn unfinished(packet: Packet) -> Packet {
    Packet { checksum: Checksum::Unfinished, ..packet }
}

/// A connection of which the SYN has options of this length.
fn begun(rig: &mut Rig, family: Family, port: u16, options: usize) -> (Conversation, Packet) {
    rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let options = (0..options).map(|at| at as u8 + 1).collect();
    let syn = Packet { tcp_options: options, ..talk.client_says(SYN, &[]) };
    rig.forwards(&talk, "the SYN", &syn, &[FlowOpened, Forwarded]);
    (talk, syn)
}

/// What leaves instead of an unfinished packet: the SYN, with a word behind its options in which a device may write the
/// sum from the old TCP header on. The checksum counts that sum, and the word is zero.
fn made(to: &Conversation, syn: &Packet) -> Packet {
    let made = to.made(syn);
    let mut options = made.tcp_options.clone();
    options.resize(options.len().max(12) + 4, 0);
    // The old header begins where the checksum of the new one has ended: 18 bytes behind its own.
    let begin = (options.len() + 2).saturating_sub(20);
    let written = !fold(sum(&options[begin..]));
    Packet { tcp_options: options, checksum: Checksum::Wrong(written), padding: vec![0; 2], ..made }
}

/// A row of the first link, whose frame leaves towards the backend of a connection.
fn by<'a>(to: &Conversation, row: Row<'a>) -> Row<'a> {
    if to.controller.link == 0 { row } else { row.by_another_link() }
}

fn set_flags(rig: &mut Rig, flag: u16) {
    for link in 0..2 {
        rig.set_link_flags(link, flag);
    }
}

#[test]
fn a_syn_made_of_an_unfinished_refusal_leaves_room_for_the_device() {
    each_family("a_syn_made_of_an_unfinished_refusal_leaves_room_for_the_device", |rig, family| {
        set_flags(rig, CHECKSUM_PARTIAL);
        for (port, options) in (23_000..).zip([0, 4, 12, 20, 36]) {
            for padding in [0, 6] {
                let (talk, syn) = begun(rig, family, port, options);
                let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
                let refusal = Packet { padding: vec![0xee; padding], ..unfinished(talk.refusal()) };
                let moved = [ChecksumPartial, Redispatched, Forwarded];
                rig.ingress = 0;
                let row = Row::transmitted("a refusal", &refusal, &made(&next, &syn), &moved);
                rig.check(&by(&next, row));
                rig.expect_moved(&talk, &next);
                rig.forget_flows(family);
            }
        }
    });
}

/// Nothing of another connection's data leaves as padding.
#[test]
fn what_another_connection_said_does_not_leave() {
    each_family("what_another_connection_said_does_not_leave", |rig, family| {
        set_flags(rig, CHECKSUM_PARTIAL);
        for (port, length) in (23_100..).zip([0, 1, 20, 100, 1400]) {
            let (talk, syn) = begun(rig, family, port, 20);
            let next = talk.clone().with_candidate(1);
            let foreign = talk.clone().backend_says(ACK | PSH, &vec![0xdd; length]);
            let foreign = Packet { acknowledgment: 1, ..unfinished(foreign) };
            let moved = [PortCollision, ChecksumPartial, RedispatchedPort, Forwarded];
            let row = Row::transmitted("data", &foreign, &made(&next, &syn), &moved);
            rig.ingress = 0;
            rig.check(&row);
            rig.expect_moved(&talk, &next);
        }
    });
}

#[test]
fn whole_refusals_on_such_links_are_as_elsewhere() {
    each_family("whole_refusals_on_such_links_are_as_elsewhere", |rig, family| {
        for (port, flag) in [(23_200, CHECKSUM_PARTIAL), (23_210, CHECKSUM_FINISH)] {
            set_flags(rig, flag);
            for (port, checksum) in (port..).zip([Checksum::Right, Checksum::Wrong(7)]) {
                let (talk, syn) = begun(rig, family, port, 12);
                let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
                let refusal = Packet { checksum, ..talk.refusal() };
                let moved = [Redispatched, Forwarded];
                rig.redispatches((&talk, &next), "a refusal", &refusal, &syn, &moved);
            }
            let (talk, syn) = begun(rig, family, port + 5, 12);
            let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
            let error = IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1);
            rig.redispatches((&talk, &next), "an ICMP error", &error, &syn, &[Redispatched, Forwarded]);
        }
    });
}

#[test]
fn where_checksums_are_finished_there_is_nothing_to_keep_clear_of() {
    each_family("where_checksums_are_finished_there_is_nothing_to_keep_clear_of", |rig, family| {
        set_flags(rig, CHECKSUM_FINISH);
        let (talk, syn) = begun(rig, family, 23_300, 20);
        let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
        let moved = [ChecksumFinished, Redispatched, Forwarded];
        let refusal = unfinished(talk.refusal());
        rig.redispatches((&talk, &next), "a refusal", &refusal, &syn, &moved);
    });
}

/// The client's own SYN is rewritten as any other packet of its; one that is made later has a checksum of its own.
#[test]
fn an_unfinished_syn_is_sent_around() {
    each_family("an_unfinished_syn_is_sent_around", |rig, family| {
        for (port, flag, leaves, counter) in [
            (23_400, CHECKSUM_PARTIAL, Checksum::Unfinished, ChecksumPartial),
            (23_401, CHECKSUM_FINISH, Checksum::Right, ChecksumFinished),
        ] {
            set_flags(rig, flag);
            rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = unfinished(talk.client_says(SYN, &[]));
            let output = |to: &Conversation| Packet { checksum: leaves, ..to.forwarded(&syn) };
            let sequence = talk.sequence(&CONTROLLERS);
            let (second, third) = (talk.clone().to(sequence[1]), talk.clone().to(sequence[2]));
            rig.ingress = 0;
            rig.check(&by(
                &talk,
                Row::transmitted("the SYN", &syn, &output(&talk), &[counter, FlowOpened, Forwarded]),
            ));
            rig.ingress = 0;
            let moved = [SynRetransmitted, counter, Redispatched, Forwarded];
            rig.check(&by(&second, Row::transmitted("it comes again", &syn, &output(&second), &moved)));
            rig.expect_moved(&talk, &second);
            let moved = [Redispatched, Forwarded];
            rig.redispatches((&second, &third), "a refusal", &second.refusal(), &syn, &moved);
        }
    });
}
