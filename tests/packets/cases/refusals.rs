//! What is not forwarded although it is ours: nobody to serve it, a backend that is gone, a source that cannot be.

use std::net::{IpAddr, SocketAddr};

use lb_common::{
    abi::{
        StateWord,
        backend_state::{ACTIVE, RESET as BACKEND_RESET, UNRESOLVED},
        flow_flags::RESET,
    },
    counters::Counter::{
        DropMartianSource, DropNoNextHop, DropNoRoute, DropTtlExpired, DropUnknownReset, FlowClosed,
        Forwarded, ResetBackendGone, ResetByOperator, ResetNoBackend,
    },
    tcp::State::{Closed, Established, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    rig::{
        Conversation, Tier, each_family,
        setting::{CONTROLLERS, FIRST, FOURTH, Family, SECOND, Service, THIRD},
    },
};

#[test]
fn a_service_without_a_backend_answers_with_a_reset() {
    each_family("a_service_without_a_backend_answers_with_a_reset", |rig, family| {
        let mut talk = Conversation::new(family, Service::Empty, 51_000, FIRST);
        for (flags, payload) in [
            (SYN, &b""[..]),
            (SYN, b"early"),
            (ACK, b""),
            (ACK | PSH, b"in the middle"),
            (FIN, b"x"),
            (FIN | ACK, b""),
        ] {
            let packet = talk.client_says(flags, payload);
            rig.answers(&talk, &format!("flags {flags:#x}"), &packet, &[ResetNoBackend]);
            let padded = Packet { padding: vec![0xee; 20], ..packet.clone() };
            rig.answers(&talk, "the same, padded", &padded, &[ResetNoBackend]);
            let long = Packet { payload: vec![1; 1400], ..packet };
            rig.answers(&talk, "the same, long", &long, &[ResetNoBackend]);
        }
        let reset = talk.client_says(RST, &[]);
        rig.drops(&talk, "a RST is not answered", &reset, &[DropUnknownReset]);
        rig.expect_nothing(&talk);
    });
}

/// A frame that is shorter than any on a wire, as some virtual devices hand over.
#[test]
fn the_answer_to_a_short_frame_ends_with_the_segment() {
    each_family("the_answer_to_a_short_frame_ends_with_the_segment", |rig, family| {
        let mut talk = Conversation::new(family, Service::Empty, 51_050, FIRST);
        let packet = Packet { tcp_options: Vec::new(), ..talk.client_says(ACK, &[]) };
        for length in 0..8 {
            let said = Packet { payload: vec![0xdd; length], ..packet.clone() };
            rig.answers(&talk, &format!("{length} bytes"), &said, &[ResetNoBackend]);
            let padded = Packet { padding: vec![0xee; length], ..packet.clone() };
            rig.answers(&talk, &format!("{length} bytes behind"), &padded, &[ResetNoBackend]);
        }
    });
}

#[test]
fn a_backend_that_is_gone_resets_both_ends() {
    each_family("a_backend_that_is_gone_resets_both_ends", |rig, family| {
        rig.choose(family, Service::Mapped, &[THIRD]);
        for (port, client_first) in [(51_100, true), (51_101, false)] {
            let mut talk = Conversation::new(family, Service::Mapped, port, THIRD);
            rig.open(&mut talk);
            rig.set_backend_state(family, THIRD, BACKEND_RESET);
            let says = |talk: &mut Conversation, client: bool| {
                if client { talk.client_says(ACK, b"hello?") } else { talk.backend_says(ACK, b"hello?") }
            };
            let packet = says(&mut talk, client_first);
            rig.answers(&talk, "one end", &packet, &[FlowClosed, ResetBackendGone]);
            rig.expect(&talk, Tier::Flows, Closed, RESET);
            let packet = says(&mut talk, !client_first);
            rig.answers(&talk, "the other end", &packet, &[ResetBackendGone]);
            let reset = talk.backend_says(RST, &[]);
            rig.drops(&talk, "a RST is not answered", &reset, &[DropUnknownReset]);
            rig.set_backend_state(family, THIRD, ACTIVE);
        }
    });
}

#[test]
fn a_flow_that_the_operator_resets_is_reset_at_both_ends() {
    each_family("a_flow_that_the_operator_resets_is_reset_at_both_ends", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 51_200, FIRST);
        rig.open(&mut talk);
        for at in [talk.forward_key(), talk.reverse_key()] {
            rig.edit(Tier::Flows, at, |entry| entry.meta.state = StateWord(entry.meta.state).with(RESET).0);
        }
        let packet = talk.backend_says(ACK | PSH, &[7; 700]);
        rig.answers(&talk, "the backend", &packet, &[FlowClosed, ResetByOperator]);
        rig.expect(&talk, Tier::Flows, Closed, RESET);
        let packet = talk.client_says(ACK, &[]);
        rig.answers(&talk, "the client", &packet, &[ResetByOperator]);
        let packet = talk.client_says(RST, &[]);
        rig.drops(&talk, "the client's RST", &packet, &[DropUnknownReset]);
    });
}

#[test]
fn only_one_entry_with_the_operators_flag_is_enough() {
    each_family("only_one_entry_with_the_operators_flag_is_enough", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 51_201, FIRST);
        rig.open(&mut talk);
        let at = talk.forward_key();
        rig.edit(Tier::Flows, at, |entry| entry.meta.state = StateWord(entry.meta.state).with(RESET).0);
        let packet = talk.client_says(ACK, &[]);
        rig.answers(&talk, "the client", &packet, &[FlowClosed, ResetByOperator]);
        rig.expect(&talk, Tier::Flows, Closed, RESET);
        let packet = talk.backend_says(ACK, &[]);
        rig.answers(&talk, "the backend", &packet, &[ResetByOperator]);
    });
}

#[test]
fn a_backend_without_a_next_hop_keeps_its_flows() {
    each_family("a_backend_without_a_next_hop_keeps_its_flows", |rig, family| {
        rig.choose(family, Service::Api, &[FIRST]);
        let mut talk = Conversation::new(family, Service::Api, 51_300, FIRST);
        rig.open(&mut talk);
        rig.set_backend_state(family, FIRST, UNRESOLVED);
        let up = talk.client_says(ACK, b"up");
        rig.drops(&talk, "towards it", &up, &[DropNoNextHop]);
        let down = talk.backend_says(ACK, b"down");
        rig.returns(&talk, "from it", &down, &[Forwarded]);
        rig.set_backend_state(family, FIRST, ACTIVE);
        rig.forwards(&talk, "towards it again", &up, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, Established, 0);
    });
}

#[test]
fn a_new_connection_avoids_backends_without_a_next_hop() {
    each_family("a_new_connection_avoids_backends_without_a_next_hop", |rig, family| {
        let all = [FIRST, SECOND, THIRD, FOURTH];
        rig.set_backend_state(family, FIRST, UNRESOLVED);
        rig.set_backend_state(family, SECOND, BACKEND_RESET);
        rig.set_backend_state(family, THIRD, UNRESOLVED);
        rig.choose_from(family, Service::Api, &[FIRST], &all);
        for port in 51_400..51_420 {
            let mut talk = Conversation::new(family, Service::Api, port, FOURTH);
            rig.syn(&mut talk);
            rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        }
        rig.set_backend_state(family, FOURTH, UNRESOLVED);
        let mut talk = Conversation::new(family, Service::Api, 51_450, FOURTH);
        let syn = talk.client_says(SYN, &[]);
        rig.drops(&talk, "nobody can be reached", &syn, &[DropNoNextHop]);
        rig.expect_nothing(&talk);
        for controller in CONTROLLERS {
            rig.set_backend_state(family, controller, ACTIVE);
        }
    });
}

/// Addresses that can be nobody's, and our own.
fn martians(family: Family) -> Vec<IpAddr> {
    let texts: &[&str] = match family {
        Family::V4 => &[
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.255",
            "224.0.0.1",
            "239.1.2.3",
            "240.0.0.1",
            "255.255.255.255",
        ],
        Family::V6 => &["::", "::1", "ff02::1", "ff0e::1:2"],
    };
    let parsed = texts.iter().map(|text| text.parse().expect("an address"));
    parsed.chain([family.vip(), family.snat()]).collect()
}

#[test]
fn impossible_sources_are_dropped() {
    each_family("impossible_sources_are_dropped", |rig, family| {
        for source in martians(family) {
            for flags in [SYN, ACK] {
                let client = SocketAddr::new(source, 51_500);
                let mut talk = Conversation::of(client, family, Service::Api, FIRST);
                let packet = talk.client_says(flags, &[]);
                rig.drops(&talk, &format!("from {source}"), &packet, &[DropMartianSource]);
            }
        }
        assert_eq!(rig.all(family, Tier::HalfOpen), [], "nothing was entered");
    });
}

#[test]
fn a_packet_whose_time_ends_here_is_dropped() {
    each_family("a_packet_whose_time_ends_here_is_dropped", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 51_600, FIRST);
        rig.open(&mut talk);
        for hops in [0, 1] {
            let up = Packet { hops, ..talk.client_says(ACK, b"up") };
            rig.drops(&talk, "towards the backend", &up, &[DropTtlExpired]);
            let down = Packet { hops, ..talk.backend_says(ACK, b"down") };
            rig.drops(&talk, "towards the client", &down, &[DropTtlExpired]);
        }
        for hops in [2, 255] {
            let up = Packet { hops, ..talk.client_says(ACK, b"up") };
            rig.forwards(&talk, "enough to live", &up, &[Forwarded]);
        }
        let mut talk = Conversation::new(family, Service::Api, 51_601, FIRST);
        let syn = Packet { hops: 1, ..talk.client_says(SYN, &[]) };
        rig.drops(&talk, "a SYN", &syn, &[DropTtlExpired]);
        rig.expect_nothing(&talk);
    });
}

#[test]
fn a_client_to_whom_the_way_is_forbidden_is_dropped() {
    each_family("a_client_to_whom_the_way_is_forbidden_is_dropped", |rig, family| {
        let client = SocketAddr::new(family.unreachable(), 51_700);
        let mut talk = Conversation::of(client, family, Service::Api, FIRST);
        for flags in [SYN, ACK] {
            let packet = talk.client_says(flags, &[]);
            rig.drops(&talk, "the way back is forbidden", &packet, &[DropNoRoute]);
        }
        rig.expect_nothing(&talk);
    });
}
