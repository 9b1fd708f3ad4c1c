//! RSTs of either end, believed or not.

use lb_common::{
    counters::Counter::{FlowClosed, FlowOpened, Forwarded, RefusalPassed, ResetOutOfWindow},
    tcp::State::{Closed, Established, SynReceived, SynSent},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, RST, SYN},
    },
    rig::{
        Conversation, Tier, each_family, key_bytes,
        setting::{FIRST, Service},
    },
};

const FAR: u32 = 1 << 23;

#[test]
fn a_reset_of_either_end_closes() {
    each_family("a_reset_of_either_end_closes", |rig, family| {
        for flags in [RST, RST | ACK] {
            let mut talk = Conversation::new(family, Service::Api, 44_100 + u16::from(flags), FIRST);
            rig.open(&mut talk);
            let reset = talk.client_says(flags, &[]);
            rig.forwards(&talk, "the client's RST", &reset, &[FlowClosed, Forwarded]);
            rig.expect(&talk, Tier::Flows, Closed, 0);
            assert_eq!(rig.closed(), [key_bytes(talk.forward_key())], "the agent is told");

            let mut talk = Conversation::new(family, Service::Api, 44_200 + u16::from(flags), FIRST);
            rig.open(&mut talk);
            let reset = talk.backend_says(flags, &[]);
            rig.returns(&talk, "the backend's RST", &reset, &[FlowClosed, Forwarded]);
            rig.expect(&talk, Tier::Flows, Closed, 0);
            assert_eq!(rig.closed(), [key_bytes(talk.reverse_key())], "the agent is told");
        }
    });
}

#[test]
fn a_reset_out_of_window_changes_nothing() {
    each_family("a_reset_out_of_window_changes_nothing", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_300, FIRST);
        rig.open(&mut talk);
        for distance in [FAR, FAR.wrapping_neg(), 1 << 31] {
            let reset = talk.client_says(RST, &[]);
            let reset = Packet { sequence: reset.sequence.wrapping_add(distance), ..reset };
            rig.forwards(&talk, "a client's RST from afar", &reset, &[ResetOutOfWindow, Forwarded]);
            let reset = talk.backend_says(RST, &[]);
            let reset = Packet { sequence: reset.sequence.wrapping_add(distance), ..reset };
            rig.returns(&talk, "a backend's RST from afar", &reset, &[ResetOutOfWindow, Forwarded]);
        }
        let pair = rig.expect(&talk, Tier::Flows, Established, 0);
        assert_eq!(pair.forward.meta.next_sequence, talk.client_next, "a RST moves no sequence number");
        assert_eq!(pair.reverse.meta.next_sequence, talk.backend_next, "a RST moves no sequence number");
        assert_eq!(rig.closed(), Vec::<Vec<u8>>::new(), "nothing is closed");
    });
}

#[test]
fn a_refused_connection_stays_in_the_lower_tier() {
    each_family("a_refused_connection_stays_in_the_lower_tier", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_400, FIRST);
        rig.syn(&mut talk);
        let refusal = talk.backend_says(RST | ACK, &[]);
        let stale = Packet { acknowledgment: refusal.acknowledgment.wrapping_sub(1), ..refusal.clone() };
        rig.returns(&talk, "a RST for another SYN", &stale, &[ResetOutOfWindow, Forwarded]);
        let bare = Packet { flags: RST, acknowledgment: 0, ..refusal.clone() };
        rig.returns(&talk, "a RST for no SYN", &bare, &[ResetOutOfWindow, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
        rig.returns(&talk, "the refusal", &refusal, &[RefusalPassed, FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Closed, 0);
    });
}

/// What a scanner does, and a client that has given up. Were such pairs promoted, a flood of SYN and RST would fill the
/// table that never evicts.
#[test]
fn a_handshake_that_the_client_resets_is_closed_in_the_lower_tier() {
    each_family("a_handshake_that_the_client_resets_is_closed_in_the_lower_tier", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_500, FIRST);
        rig.syn(&mut talk);
        let reset = talk.client_says(RST, &[]);
        rig.forwards(&talk, "a RST behind the SYN", &reset, &[FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Closed, 0);

        for flags in [RST, RST | ACK] {
            let mut talk = Conversation::new(family, Service::Api, 44_600 + u16::from(flags), FIRST);
            rig.syn_ack(&mut talk);
            rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
            let reset = talk.client_says(flags, &[]);
            rig.forwards(&talk, "a RST instead of the ACK", &reset, &[FlowClosed, Forwarded]);
            rig.expect(&talk, Tier::HalfOpen, Closed, 0);
        }
    });
}

/// An entry that has seen no number has a 0 there. Anybody could name a number near that, without a look at the connection.
#[test]
fn no_reset_is_near_a_number_that_nobody_has_seen() {
    each_family("no_reset_is_near_a_number_that_nobody_has_seen", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_700, FIRST);
        let syn = talk.client_says(SYN, &[]);
        // What is in the field means nothing without the flag.
        let syn = Packet { acknowledgment: 0x4000_0000, ..syn };
        rig.forwards(&talk, "the SYN", &syn, &[FlowOpened, Forwarded]);
        let syn_ack = talk.backend_says(SYN | ACK, &[]);
        rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
        for sequence in [0, 5, u32::MAX, 0x4000_0000, 0x4000_0005] {
            let reset = Packet { sequence, ..talk.backend_says(RST, &[]) };
            rig.returns(&talk, &format!("a RST of {sequence:#x}"), &reset, &[ResetOutOfWindow, Forwarded]);
        }
        rig.expect(&talk, Tier::HalfOpen, SynReceived, 0);
        let reset = talk.backend_says(RST, &[]);
        rig.returns(&talk, "the backend's RST", &reset, &[FlowClosed, Forwarded]);
    });
}
