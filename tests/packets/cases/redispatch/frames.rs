//! Every byte of the SYN that is made, whatever the client's was like and whatever it is made of.

use lb_common::counters::Counter::{FlowOpened, Forwarded, PortCollision, Redispatched, RedispatchedPort};

use crate::{
    packet::{
        Checksum, Packet,
        flags::{ACK, PSH, SYN},
    },
    rig::{
        Conversation, Rig, each_family,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, Service},
    },
};

/// Lengths of a SYN's options.
const OPTIONS: [usize; 7] = [0, 4, 8, 12, 20, 36, 40];

/// Options of this length, none of whose words is like another.
fn options(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 37 % 251) as u8 + 1).collect()
}

/// What a refusal may look like: TCP options, payload, and what follows it in the frame.
const SHAPES: [(usize, usize, usize); 11] = [
    (0, 0, 0),
    (0, 0, 6),
    (0, 0, 20),
    (12, 0, 0),
    (20, 0, 0),
    (36, 0, 0),
    (40, 0, 0),
    (0, 16, 0),
    (12, 7, 17),
    (0, 1400, 0),
    (40, 300, 9),
];

fn shaped(packet: Packet, (options_length, payload, padding): (usize, usize, usize)) -> Packet {
    Packet {
        tcp_options: options(options_length),
        payload: vec![0xdd; payload],
        padding: vec![0xee; padding],
        ..packet
    }
}

/// SYNs that differ in all that is kept.
fn syns(family: Family) -> Vec<Packet> {
    let base = Conversation::new(family, Service::Api, 1, FIRST).client_says(SYN, &[]);
    let mut syns: Vec<Packet> =
        OPTIONS.iter().map(|length| Packet { tcp_options: options(*length), ..base.clone() }).collect();
    let ecn = [0x40, 0x80, 0xc0].map(|ecn| Packet { flags: SYN | ecn, ..base.clone() });
    syns.extend(ecn);
    syns.extend([1, 7, 15].map(|reserved| Packet { reserved, ..base.clone() }));
    syns.extend([0, 1, 0x2e << 2, 0xff].map(|class| Packet { class, ..base.clone() }));
    syns.extend([0, 1, 0xffff].map(|label| Packet { label, ..base.clone() }));
    syns.extend([0, 1, 0xffff].map(|window| Packet { window, ..base.clone() }));
    syns.extend([2, 3, 255].map(|hops| Packet { hops, ..base.clone() }));
    syns.extend([0, 1, 0x7fff_ffff, 0xffff_ffff].map(|sequence| Packet { sequence, ..base.clone() }));
    syns.push(Packet { padding: vec![0xcc; 9], ..base.clone() });
    if family == Family::V4 {
        syns.extend([0, 0x8000, 0xc000].map(|fragment| Packet { fragment, ..base.clone() }));
        syns.push(Packet { ip_options: vec![1; 12], ..base });
    } else {
        syns.push(Packet { extensions: vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])], ..base });
    }
    syns
}

/// The client's SYN, and what refuses it, in any shape.
fn refuse(rig: &mut Rig, talk: &mut Conversation, syn: &Packet, shape: (usize, usize, usize), foreign: bool) {
    let syn = Packet { source: talk.client, destination: talk.address(), ..syn.clone() };
    talk.client_next = syn.sequence.wrapping_add(1);
    rig.forwards(talk, "the SYN", &syn, &[FlowOpened, Forwarded]);
    let what = format!("{} bytes of options, made of {shape:?}", syn.tcp_options.len());
    if foreign {
        let next = talk.clone().with_candidate(1);
        let answer = Packet { acknowledgment: 1, ..talk.clone().backend_says(ACK | PSH, &[]) };
        let moved = [PortCollision, RedispatchedPort, Forwarded];
        rig.redispatches((talk, &next), &what, &shaped(answer, shape), &syn, &moved);
    } else {
        let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
        let answer = shaped(Packet { payload: Vec::new(), ..talk.refusal() }, shape);
        rig.redispatches((talk, &next), &what, &answer, &syn, &[Redispatched, Forwarded]);
    }
}

#[test]
fn every_length_of_options_is_made_of_every_frame() {
    each_family("every_length_of_options_is_made_of_every_frame", |rig, family| {
        rig.choose_from(family, Service::Mapped, &[FOURTH], &CONTROLLERS);
        let syns = syns(family);
        let mut port = 16_000;
        for syn in &syns[..OPTIONS.len()] {
            for shape in SHAPES {
                for foreign in [true, false] {
                    port += 1;
                    let mut talk = Conversation::new(family, Service::Mapped, port, FOURTH);
                    refuse(rig, &mut talk, syn, shape, foreign);
                    rig.forget_flows(family);
                }
            }
        }
    });
}

#[test]
fn all_that_is_kept_of_a_syn_is_in_the_next() {
    each_family("all_that_is_kept_of_a_syn_is_in_the_next", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        for (port, syn) in (17_000..).zip(syns(family)) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            refuse(rig, &mut talk, &syn, (0, 0, 6), false);
            rig.forget_flows(family);
        }
    });
}

/// What comes with IP options or extension headers shrinks at its head all the more.
#[test]
fn a_refusal_with_more_headers_is_as_good() {
    each_family("a_refusal_with_more_headers_is_as_good", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let lengths: &[usize] = if family == Family::V4 { &[4, 40] } else { &[8, 64, 1024] };
        for (port, length) in (18_000..).zip(lengths) {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            let syn = rig.syn(&mut talk);
            let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
            let mut refusal = talk.refusal();
            if family == Family::V4 {
                refusal.ip_options = vec![1; *length];
            } else {
                let words = u8::try_from(length / 8 - 1).expect("it is short");
                let mut extension = vec![0, words, 1, 4];
                extension.resize(*length, 0);
                refusal.extensions = vec![(60, extension)];
            }
            rig.redispatches((&talk, &next), "a refusal", &refusal, &syn, &[Redispatched, Forwarded]);
        }
    });
}

/// A checksum that came wrong is not that of the SYN, which is made anew.
#[test]
fn a_wrong_checksum_is_left_behind() {
    each_family("a_wrong_checksum_is_left_behind", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
        let mut talk = Conversation::new(family, Service::Api, 18_100, FIRST);
        let syn = Packet { checksum: Checksum::Wrong(3), ..talk.client_says(SYN, &[]) };
        rig.forwards(&talk, "a SYN that is wrong", &syn, &[FlowOpened, Forwarded]);
        let next = talk.clone().to(talk.sequence(&CONTROLLERS)[1]);
        let moved = [Redispatched, Forwarded];
        rig.redispatches((&talk, &next), "its refusal", &talk.refusal(), &syn, &moved);
    });
}
