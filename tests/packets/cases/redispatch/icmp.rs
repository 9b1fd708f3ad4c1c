//! ICMP errors that a destination cannot be reached: those about a SYN of ours are as good as a refusal; all others are
//! the host's own business, and not a bit of them changes.

use std::net::SocketAddr;

use lb_common::{
    abi::Evidence,
    counters::Counter::{FlowEstablished, Forwarded, Redispatched},
    tcp::State::{Established, SynReceived, SynSent},
};

use crate::{
    icmp::IcmpError,
    packet::{
        Packet,
        flags::{ACK, SYN},
    },
    rig::{
        Conversation, Rig, Row, Tier, each_family,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, SECOND, Service},
    },
};

/// A handshake, its SYN as the client sent it and as it went on.
fn begun(rig: &mut Rig, family: Family, port: u16) -> (Conversation, Packet, Packet) {
    rig.forget_evidence();
    rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = rig.syn(&mut talk);
    let sent = talk.forwarded(&syn);
    (talk, syn, sent)
}

fn passes(rig: &mut Rig, talk: &Conversation, what: &str, frame: impl Into<Vec<u8>>) {
    rig.ingress = 0;
    rig.check(&Row::passed(what, frame));
    rig.expect(talk, Tier::HalfOpen, SynSent, 0);
    assert_eq!(rig.told(), [], "{what}: nothing is told");
}

const MOVED: [lb_common::counters::Counter; 2] = [Redispatched, Forwarded];

#[test]
fn every_code_is_a_refusal() {
    each_family("every_code_is_a_refusal", |rig, family| {
        let codes = if family == Family::V4 { 0..=15 } else { 0..=8 };
        // Fragmentation needed (RFC 792): a message about the path's size.
        for code in codes.filter(|code| family == Family::V6 || *code != 4) {
            let (talk, syn, sent) = begun(rig, family, 22_000 + u16::from(code));
            let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
            let error = IcmpError::unreachable(family.gateway(), &sent, code);
            rig.forget_evidence();
            rig.redispatches((&talk, &next), &format!("code {code}"), &error, &syn, &MOVED);
            assert_eq!(rig.told(), [(FIRST.id, Evidence::Unreachable)], "the agent is told");
        }
    });
}

#[test]
fn every_length_of_a_quotation_is_enough_that_holds_the_sequence_number() {
    each_family("every_length_of_a_quotation_is_enough_that_holds_the_sequence_number", |rig, family| {
        for (port, quoted) in (22_100..).zip([8, 9, 12, 20, 28, 32]) {
            for padding in [0, 4, 46] {
                let (talk, syn, sent) = begun(rig, family, port);
                let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
                let error = IcmpError::unreachable(family.gateway(), &sent, 1).quoting(quoted);
                let error = IcmpError { padding: vec![0xee; padding], ..error };
                rig.redispatches((&talk, &next), &format!("{quoted} bytes"), &error, &syn, &MOVED);
                rig.forget_flows(family);
            }
        }
        let (talk, syn, sent) = begun(rig, family, 22_200);
        let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
        let mut error = IcmpError::unreachable(family.gateway(), &sent, 1);
        error.quoted.resize(548, 0xdd);
        rig.redispatches((&talk, &next), "as much as there may be", &error, &syn, &MOVED);
    });
}

#[test]
fn errors_are_told_by_anybody_on_the_way() {
    each_family("errors_are_told_by_anybody_on_the_way", |rig, family| {
        for (port, controller) in (22_300..).zip([FIRST, SECOND]) {
            rig.choose_from(family, Service::Mapped, &[controller], &[controller, FOURTH]);
            let by = [family.gateway(), family.controller(controller), family.foreign()];
            for (port, source) in (port..).step_by(10).zip(by) {
                let mut talk = Conversation::new(family, Service::Mapped, port, controller);
                let syn = rig.syn(&mut talk);
                let error = IcmpError::unreachable(source, &talk.forwarded(&syn), 3);
                let next = talk.clone().to(FOURTH);
                rig.redispatches((&talk, &next), &format!("by {source}"), &error, &syn, &MOVED);
            }
        }
    });
}

#[test]
fn the_host_gets_it_when_nobody_is_left() {
    each_family("the_host_gets_it_when_nobody_is_left", |rig, family| {
        rig.choose(family, Service::Api, &[FIRST]);
        let mut talk = Conversation::new(family, Service::Api, 22_400, FIRST);
        let syn = rig.syn(&mut talk);
        let error = IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1);
        rig.check(&Row::passed("nobody else is there", &error));
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    });
}

/// Errors that are about something else than the SYN of the handshake.
fn others(family: Family, sent: &Packet) -> Vec<(String, IcmpError)> {
    let about = |packet: &Packet| IcmpError::unreachable(family.gateway(), packet, 1);
    let at = |address: SocketAddr, port: u16| SocketAddr::new(address.ip(), port);
    let mut others: Vec<(String, IcmpError)> = [1, 0_u32.wrapping_sub(1), 1 << 31, 0x1234]
        .map(|by| Packet { sequence: sent.sequence.wrapping_add(by), ..sent.clone() })
        .map(|packet| (format!("sequence number {:#x}", packet.sequence), about(&packet)))
        .to_vec();
    let tuples = [
        ("another source port", Packet { source: at(sent.source, sent.source.port() ^ 1), ..sent.clone() }),
        ("another destination port", Packet { destination: at(sent.destination, 6444), ..sent.clone() }),
        (
            "another source",
            Packet { source: SocketAddr::new(family.vip(), sent.source.port()), ..sent.clone() },
        ),
        (
            "another destination",
            Packet { destination: SocketAddr::new(family.controller(FOURTH), 6443), ..sent.clone() },
        ),
        (
            "the other way round",
            Packet { source: sent.destination, destination: sent.source, ..sent.clone() },
        ),
    ];
    others.extend(tuples.map(|(what, packet)| {
        (what.to_owned(), IcmpError { destination: sent.source.ip(), ..about(&packet) })
    }));
    let ours = about(sent);
    let kinds: &[u8] =
        if family == Family::V4 { &[0, 4, 5, 8, 11, 12, 1] } else { &[2, 3, 4, 128, 129, 135, 0] };
    others
        .extend(kinds.iter().map(|kind| (format!("type {kind}"), IcmpError { kind: *kind, ..ours.clone() })));
    let protocol_at = if family == Family::V4 { 9 } else { 6 };
    for (what, at, byte) in [("another protocol", protocol_at, 17), ("another version", 0, 0x55)] {
        let mut error = ours.clone();
        error.quoted[at] = byte;
        others.push((format!("about {what}"), error));
    }
    if family == Family::V4 {
        others.push(("fragmentation needed".into(), IcmpError { code: 4, ..ours.clone() }));
        others.push(("with IP options".into(), IcmpError { ip_options: vec![1; 4], ..ours.clone() }));
        others.push(("the first fragment".into(), IcmpError { fragment: 0x2000, ..ours.clone() }));
        others.push(("a later fragment".into(), IcmpError { fragment: 0x0001, ..ours.clone() }));
        others.push(("about options".into(), about(&Packet { ip_options: vec![1; 4], ..sent.clone() })));
        others.push(("about a fragment".into(), about(&Packet { fragment: 1, ..sent.clone() })));
    } else {
        let extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
        others.push(("about extensions".into(), about(&Packet { extensions, ..sent.clone() })));
    }
    others
}

#[test]
fn an_error_about_something_else_passes() {
    each_family("an_error_about_something_else_passes", |rig, family| {
        let (talk, _, sent) = begun(rig, family, 22_500);
        for (what, error) in others(family, &sent) {
            passes(rig, &talk, &what, &error);
        }
        let elsewhere =
            IcmpError { destination: family.foreign(), ..IcmpError::unreachable(family.gateway(), &sent, 1) };
        passes(rig, &talk, "to another host", &elsewhere);
        let other = if sent.source.ip() == family.vip() { family.snat() } else { family.vip() };
        let elsewhere = IcmpError { destination: other, ..elsewhere };
        passes(rig, &talk, "to another address than its quotation is from", &elsewhere);
    });
}

#[test]
fn an_error_cut_anywhere_passes() {
    each_family("an_error_cut_anywhere_passes", |rig, family| {
        let (talk, syn, sent) = begun(rig, family, 22_600);
        let whole = IcmpError::unreachable(family.gateway(), &sent, 1);
        let header = if family == Family::V4 { 20 } else { 40 };
        for quoted in 0..8 {
            passes(rig, &talk, &format!("{quoted} bytes of TCP"), &whole.clone().quoting(quoted));
        }
        let frame = whole.bytes();
        let enough = 14 + header + 8 + header + 8;
        for length in 14..enough {
            passes(rig, &talk, &format!("a frame of {length} bytes"), frame[..length].to_vec());
        }
        let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
        rig.redispatches((&talk, &next), "the whole", frame, &syn, &MOVED);
    });
}

/// A destination that went away is TCP's to find out (RFC 5461, section 4).
#[test]
fn an_error_about_a_connection_passes() {
    each_family("an_error_about_a_connection_passes", |rig, family| {
        let (mut talk, _, sent) = begun(rig, family, 22_700);
        let error = IcmpError::unreachable(family.gateway(), &sent, 1);
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
        rig.check(&Row::passed("about an answered SYN", &error));
        rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
        let ack = talk.client_says(ACK, &[]);
        rig.forwards(&talk, "the ACK", &ack, &[FlowEstablished, Forwarded]);
        rig.check(&Row::passed("about the SYN of a connection", &error));
        let data = talk.client_says(ACK, b"data");
        rig.forwards(&talk, "data", &data, &[Forwarded]);
        let error = IcmpError::unreachable(family.gateway(), &talk.forwarded(&data), 1);
        rig.check(&Row::passed("about data", &error));
        rig.expect(&talk, Tier::Flows, Established, 0);
        assert_eq!(rig.told(), [], "nothing is told");
    });
}
