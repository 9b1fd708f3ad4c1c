//! Packets from the middle of connections that the program never saw.

use lb_common::{
    abi::{
        backend_state::{ACTIVE, RESET, UNRESOLVED},
        flow_flags::{ADOPTED, UNCONFIRMED},
    },
    counters::Counter::{
        self, DropAdoptionRefused, DropNoNextHop, DropUnknownReset, FlowAdopted, FlowAdoptionConfirmed,
        Forwarded, HalfOpenTorn, ResetNotAdopted,
    },
    tcp::State::{ClientClosed, Closed, Established},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, RST},
    },
    rig::{
        Conversation, Rig, Tier, each_family,
        setting::{CONTROLLERS, Controller, FIRST, FOURTH, Family, SECOND, Service, THIRD},
    },
};

const GUESSED: u8 = UNCONFIRMED | ADOPTED;

/// A connection that has been going on for a while.
fn in_the_middle(family: Family, port: u16, controller: Controller) -> Conversation {
    let mut talk = Conversation::new(family, Service::Api, port, controller);
    (talk.client_next, talk.backend_next) = (0x7000_0000, 0xf000_0000);
    talk
}

#[test]
fn a_right_guess_is_confirmed_by_a_reply() {
    each_family("a_right_guess_is_confirmed_by_a_reply", |rig, family| {
        rig.choose(family, Service::Api, &[SECOND]);
        let mut talk = in_the_middle(family, 52_000, SECOND);
        let data = talk.client_says(ACK | PSH, b"as I said");
        rig.forwards(&talk, "data", &data, &[FlowAdopted, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Established, GUESSED);
        rig.forwards(&talk, "the same again", &data, &[Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Established, GUESSED);
        let reply = talk.backend_says(ACK, b"indeed");
        rig.returns(&talk, "the reply", &reply, &[FlowAdoptionConfirmed, Forwarded]);
        rig.expect(&talk, Tier::Flows, Established, ADOPTED);
        let more = talk.client_says(ACK, b"and so on");
        rig.forwards(&talk, "data", &more, &[Forwarded]);
        let more = talk.backend_says(ACK, b"of course");
        rig.returns(&talk, "the reply", &more, &[Forwarded]);
    });
}

#[test]
fn a_fin_is_adopted_as_the_end_that_it_is() {
    each_family("a_fin_is_adopted_as_the_end_that_it_is", |rig, family| {
        let mut talk = in_the_middle(family, 52_001, FIRST);
        let fin = talk.client_says(FIN | ACK, &[]);
        rig.forwards(&talk, "the client's FIN", &fin, &[FlowAdopted, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, ClientClosed, GUESSED);
        let fin = talk.backend_says(FIN | ACK, &[]);
        let moved = [FlowAdoptionConfirmed, Counter::FlowClosed, Forwarded];
        rig.returns(&talk, "the backend's FIN", &fin, &moved);
        rig.expect(&talk, Tier::HalfOpen, Closed, ADOPTED);
    });
}

#[test]
fn a_reset_is_not_adopted() {
    each_family("a_reset_is_not_adopted", |rig, family| {
        let mut talk = in_the_middle(family, 52_002, FIRST);
        for flags in [RST, RST | ACK] {
            let reset = talk.client_says(flags, &[]);
            rig.drops(&talk, "a RST of nobody's", &reset, &[DropUnknownReset]);
        }
        rig.expect_nothing(&talk);
    });
}

/// Replies that show that the guess was wrong: flags, and how far the numbers are off.
const WRONG_REPLIES: [(&str, u8, u32, u32); 6] = [
    ("a RST", RST, 0, 0),
    ("a RST that acknowledges", RST | ACK, 0, 0),
    ("an ACK of what was never sent", ACK, 0, 1),
    ("an ACK of another connection", ACK, 0, 1 << 30),
    ("an ACK of long ago", ACK, 0, 0x8000_0000),
    ("another connection's sequence number", ACK, 1 << 24, 0),
];

fn wrong_reply(talk: &Conversation, (_, flags, sequence, acknowledgment): (&str, u8, u32, u32)) -> Packet {
    let reply = talk.clone().backend_says(flags, &[]);
    Packet {
        sequence: reply.sequence.wrapping_add(sequence),
        acknowledgment: reply.acknowledgment.wrapping_add(acknowledgment),
        ..reply
    }
}

#[test]
fn a_wrong_guess_is_followed_by_the_next_and_at_last_by_a_reset() {
    each_family("a_wrong_guess_is_followed_by_the_next_and_at_last_by_a_reset", |rig, family| {
        let both = [FIRST, FOURTH];
        for (port, wrong) in (52_100..).zip(WRONG_REPLIES.iter().cycle().take(24)) {
            rig.choose_from(family, Service::Api, &[FIRST], &both);
            let talk = in_the_middle(family, port, FIRST);
            let data = talk.clone().client_says(ACK, b"hello");
            let said = Conversation { client_next: talk.client_next + 5, ..talk.clone() };
            // Both backends with the first port, then both with the second.
            for (attempt, (controller, port)) in
                [(FIRST, 0), (FOURTH, 0), (FIRST, 1), (FOURTH, 1)].into_iter().enumerate()
            {
                let guess = said.clone().to(controller).with_candidate(port);
                let moved: &[Counter] = if attempt == 0 {
                    &[FlowAdopted, Forwarded]
                } else {
                    &[HalfOpenTorn, FlowAdopted, Forwarded]
                };
                rig.forwards(&guess, &format!("guess {attempt}"), &data, moved);
                let pair = rig.expect(&guess, Tier::HalfOpen, Established, GUESSED);
                assert_eq!(usize::from(pair.forward.word().attempt()), attempt, "the number of the guess");
                rig.drops(&guess, wrong.0, &wrong_reply(&guess, *wrong), &[DropAdoptionRefused]);
            }
            rig.answers(&talk, "no guess is left", &data, &[HalfOpenTorn, ResetNotAdopted]);
            rig.expect_nothing(&talk);
        }
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

#[test]
fn every_backend_is_asked_before_one_is_asked_again() {
    each_family("every_backend_is_asked_before_one_is_asked_again", |rig, family| {
        for (port, count) in (52_200..).zip([2, 3, 4].repeat(8)) {
            let rotation = &CONTROLLERS[..count];
            let first = rotation[usize::from(port) % count];
            rig.choose_from(family, Service::Api, &[first], rotation);
            let talk = in_the_middle(family, port, first);
            let data = talk.clone().client_says(ACK, b"hello");
            let mut asked = Vec::new();
            for _ in 0..count {
                rig.ingress = 0;
                rig.run(&data.bytes());
                let forward = rig.get(Tier::HalfOpen, talk.forward_key()).expect("the packet is adopted");
                asked.push(forward.meta.backend);
                let (backend, snat) = forward.twin;
                let reset = Packet::new(backend, snat, RST);
                rig.check(&crate::rig::Row::dropped("it refuses", &reset, &[DropAdoptionRefused]));
            }
            asked.sort_unstable();
            let all: Vec<u16> = rotation.iter().map(|controller| controller.id).collect();
            assert_eq!(asked, all, "the backends that were asked for port {port}");
        }
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

#[test]
fn a_guess_whose_port_is_in_use_is_passed_over() {
    each_family("a_guess_whose_port_is_in_use_is_passed_over", |rig, family| {
        rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, FOURTH]);
        let mut talk = in_the_middle(family, 52_300, FIRST);
        let stranger = rig.occupy(Tier::Flows, &talk, Established, 0);
        let data = talk.client_says(ACK, b"hello");
        let talk = talk.to(FOURTH);
        rig.forwards(&talk, "the first guess's port is a flow's", &data, &[FlowAdopted, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Established, GUESSED);
        rig.expect_untouched(&stranger);
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

fn set_states(rig: &mut Rig, family: Family, states: [(Controller, u8); 2]) {
    for (controller, state) in states {
        rig.set_backend_state(family, controller, state);
    }
}

#[test]
fn adoption_waits_for_a_next_hop_and_passes_over_a_backend_that_is_gone() {
    each_family("adoption_waits_for_a_next_hop_and_passes_over_a_backend_that_is_gone", |rig, family| {
        rig.choose_from(family, Service::Api, &[THIRD], &[FIRST, THIRD]);
        set_states(rig, family, [(FIRST, ACTIVE), (THIRD, UNRESOLVED)]);
        let mut talk = in_the_middle(family, 52_400, THIRD);
        let data = talk.client_says(ACK, b"hello");
        rig.drops(&talk, "the backend may know it, but has no next hop", &data, &[DropNoNextHop]);
        rig.expect_nothing(&talk);
        set_states(rig, family, [(FIRST, ACTIVE), (THIRD, RESET)]);
        let other = talk.clone().to(FIRST);
        rig.forwards(&other, "the first guess is gone", &data, &[FlowAdopted, Forwarded]);
        rig.expect(&other, Tier::HalfOpen, Established, GUESSED);
        let mut talk = in_the_middle(family, 52_401, THIRD);
        set_states(rig, family, [(FIRST, RESET), (THIRD, RESET)]);
        let data = talk.client_says(ACK, b"hello");
        rig.answers(&talk, "all are gone", &data, &[ResetNotAdopted]);
        set_states(rig, family, [(FIRST, ACTIVE), (THIRD, ACTIVE)]);
        rig.choose(family, Service::Api, &[FIRST]);
    });
}

#[test]
fn an_unconfirmed_flow_ends_with_its_clients_reset() {
    each_family("an_unconfirmed_flow_ends_with_its_clients_reset", |rig, family| {
        let mut talk = in_the_middle(family, 52_500, FIRST);
        let data = talk.client_says(ACK, b"hello");
        rig.forwards(&talk, "data", &data, &[FlowAdopted, Forwarded]);
        let reset = talk.client_says(RST, &[]);
        rig.forwards(&talk, "the client's RST", &reset, &[Counter::FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::HalfOpen, Closed, GUESSED);
    });
}
