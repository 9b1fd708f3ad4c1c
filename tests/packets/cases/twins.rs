//! Pairs that have come apart, and strangers' entries in the place of a twin: those are never changed nor deleted.

use lb_common::{
    counters::Counter::{DropOrphanReply, FlowOpened, FlowReopened, Forwarded, HalfOpenTorn, PortCollision},
    tcp::State::{Closed, Established, SynReceived, SynSent},
};

use crate::{
    packet::flags::{ACK, FIN, RST, SYN},
    rig::{
        Conversation, Tier, each_family,
        setting::{FIRST, Service},
    },
};

#[test]
fn a_handshake_without_its_reverse_entry_begins_anew() {
    each_family("a_handshake_without_its_reverse_entry_begins_anew", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 48_000, FIRST);
        let syn = rig.syn(&mut talk);
        rig.remove(Tier::HalfOpen, talk.reverse_key());
        rig.forwards(&talk, "the SYN again", &syn, &[HalfOpenTorn, FlowOpened, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    });
}

#[test]
fn a_handshake_without_its_forward_entry_is_nobodys() {
    each_family("a_handshake_without_its_forward_entry_is_nobodys", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 48_001, FIRST);
        let syn = rig.syn(&mut talk);
        rig.remove(Tier::HalfOpen, talk.forward_key());
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        rig.drops(&talk, "the SYN-ACK", &syn_ack, &[HalfOpenTorn, DropOrphanReply]);
        rig.expect_nothing(&talk);
        rig.forwards(&talk, "the SYN again", &syn, &[FlowOpened, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    });
}

#[test]
fn a_stranger_in_the_place_of_the_reverse_entry_stays() {
    each_family("a_stranger_in_the_place_of_the_reverse_entry_stays", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 48_002, FIRST);
        let syn = rig.syn(&mut talk);
        let stranger = rig.occupy(Tier::HalfOpen, &talk, SynReceived, 0);
        let talk = talk.with_candidate(1);
        let moved = [HalfOpenTorn, PortCollision, FlowOpened, Forwarded];
        rig.forwards(&talk, "the SYN again", &syn, &moved);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        rig.expect_untouched(&stranger);
    });
}

#[test]
fn a_closed_flow_is_deleted_without_the_stranger_in_its_twins_place() {
    each_family("a_closed_flow_is_deleted_without_the_stranger_in_its_twins_place", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 48_003, FIRST);
        rig.open(&mut talk);
        let reset = talk.client_says(RST, &[]);
        rig.forwards(&talk, "a RST", &reset, &[lb_common::counters::Counter::FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::Flows, Closed, 0);
        let stranger = rig.occupy(Tier::Flows, &talk, Established, 0);
        let mut talk = talk.with_candidate(1);
        let syn = talk.client_says(SYN, &[]);
        let moved = [FlowReopened, PortCollision, FlowOpened, Forwarded];
        rig.forwards(&talk, "a SYN on it", &syn, &moved);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        rig.expect_untouched(&stranger);
    });
}

#[test]
fn a_stranger_in_the_twins_place_is_not_closed_with_a_flow() {
    each_family("a_stranger_in_the_twins_place_is_not_closed_with_a_flow", |rig, family| {
        for (port, flags) in [(48_004, FIN | ACK), (48_005, RST)] {
            let mut talk = Conversation::new(family, Service::Api, port, FIRST);
            rig.open(&mut talk);
            let stranger = rig.occupy(Tier::Flows, &talk, Established, 0);
            let packet = talk.client_says(flags, &[]);
            rig.forwards(&talk, "the end of the flow", &packet, &[Forwarded]);
            rig.expect_untouched(&stranger);
        }
    });
}
