//! Headers that a packet may have beside the bare ones, and what follows it in the frame: all leave as they came.

use lb_common::counters::Counter::Forwarded;

use crate::{
    packet::{
        Packet,
        flags::{ACK, PSH},
    },
    rig::{
        Conversation, Rig, each_family,
        setting::{CONTROLLERS, Family, Service},
    },
};

/// IPv4 options: no-operations with an end, a record route, a router alert, as many as there may be.
fn ip_options() -> Vec<Vec<u8>> {
    let mut record_route = vec![7, 39, 4];
    record_route.resize(40, 0);
    vec![vec![1, 1, 1, 0], vec![148, 4, 0, 0], vec![1; 8], record_route]
}

/// IPv6 extension headers of so many bytes: padding options (RFC 8200, section 4.2).
fn extension(bytes: usize) -> Vec<u8> {
    let mut header = vec![0, u8::try_from(bytes / 8 - 1).expect("an extension header is short")];
    let mut left = bytes - 2;
    while left > 0 {
        let option = left.min(257);
        let option = if left - option == 1 { option - 1 } else { option };
        header.extend([1, u8::try_from(option - 2).expect("an option is short")]);
        header.extend(vec![0; option - 2]);
        left -= option;
    }
    header
}

const HOP_BY_HOP: u8 = 0;
const DESTINATION: u8 = 60;

fn variants(family: Family) -> Vec<(String, Packet)> {
    let base = Packet::new("[::]:0".parse().expect("an address"), "[::]:0".parse().expect("an address"), 0);
    let mut variants = Vec::new();
    for length in [1, 2, 5, 6, 26, 46] {
        variants.push((
            format!("{length} bytes of padding"),
            Packet { padding: vec![0xa5; length], ..base.clone() },
        ));
    }
    for class in [0, 3, 0xb8, 0xff] {
        variants.push((format!("class {class:#x}"), Packet { class, ..base.clone() }));
    }
    match family {
        Family::V4 => {
            for ip_options in ip_options() {
                let what = format!("{} bytes of options", ip_options.len());
                variants.push((what.clone(), Packet { ip_options: ip_options.clone(), ..base.clone() }));
                variants
                    .push((what + ", padded", Packet { ip_options, padding: vec![0xa5; 6], ..base.clone() }));
            }
            variants.push(("fragments permitted".into(), Packet { fragment: 0, ..base.clone() }));
            variants.push(("the reserved flag".into(), Packet { fragment: 0x8000, ..base.clone() }));
        }
        Family::V6 => {
            let chains: [&[(u8, usize)]; 7] = [
                &[(HOP_BY_HOP, 8)],
                &[(DESTINATION, 8)],
                &[(DESTINATION, 264)],
                &[(DESTINATION, 2048)],
                &[(HOP_BY_HOP, 8), (DESTINATION, 16)],
                &[(HOP_BY_HOP, 24), (DESTINATION, 8), (DESTINATION, 8)],
                &[(HOP_BY_HOP, 1024), (DESTINATION, 1024), (DESTINATION, 1024)],
            ];
            for chain in chains {
                let extensions = chain.iter().map(|(number, bytes)| (*number, extension(*bytes))).collect();
                variants.push((format!("extensions {chain:?}"), Packet { extensions, ..base.clone() }));
            }
        }
    }
    variants
}

/// A packet with the variant's headers.
fn dressed(packet: Packet, variant: &Packet, family: Family) -> Packet {
    let fragment = if family == Family::V4 && variant.fragment != packet.fragment {
        variant.fragment
    } else {
        packet.fragment
    };
    Packet {
        padding: variant.padding.clone(),
        class: variant.class,
        ip_options: variant.ip_options.clone(),
        extensions: variant.extensions.clone(),
        fragment,
        ..packet
    }
}

fn both_ways(rig: &mut Rig, talk: &mut Conversation, what: &str, variant: &Packet) {
    for payload in [&b""[..], b"odd", b"even"] {
        let up = dressed(talk.client_says(ACK | PSH, payload), variant, talk.family);
        rig.forwards(talk, &format!("{what}, up"), &up, &[Forwarded]);
        let down = dressed(talk.backend_says(ACK | PSH, payload), variant, talk.family);
        rig.returns(talk, &format!("{what}, down"), &down, &[Forwarded]);
    }
}

#[test]
fn options_extensions_and_padding_leave_as_they_came() {
    each_family("options_extensions_and_padding_leave_as_they_came", |rig, family| {
        for controller in CONTROLLERS {
            rig.choose(family, Service::Mapped, &[controller]);
            let mut talk = Conversation::new(family, Service::Mapped, 53_000 + controller.id, controller);
            rig.open(&mut talk);
            for (what, variant) in variants(family) {
                both_ways(rig, &mut talk, &what, &variant);
            }
        }
    });
}

#[test]
fn tcp_options_of_every_length_leave_as_they_came() {
    each_family("tcp_options_of_every_length_leave_as_they_came", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 53_100, CONTROLLERS[0]);
        rig.open(&mut talk);
        for words in 0..=10 {
            let tcp_options = vec![1; words * 4];
            let up = Packet { tcp_options: tcp_options.clone(), ..talk.client_says(ACK, b"payload") };
            rig.forwards(&talk, &format!("{words} words of options, up"), &up, &[Forwarded]);
            let down = Packet { tcp_options, ..talk.backend_says(ACK, b"payload") };
            rig.returns(&talk, &format!("{words} words of options, down"), &down, &[Forwarded]);
        }
    });
}
