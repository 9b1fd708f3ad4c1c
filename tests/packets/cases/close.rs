//! How a connection ends in order: a FIN from each end.

use lb_common::{
    abi::flow_flags::BACKEND_CLOSED_FIRST,
    counters::Counter::{FlowClosed, FlowEstablished, Forwarded},
    tcp::State::{BackendClosed, ClientClosed, Closed},
};

use crate::{
    packet::flags::{ACK, FIN, PSH},
    rig::{
        Conversation, Tier, each_family, key_bytes,
        setting::{FIRST, Service, THIRD},
    },
};

#[test]
fn the_client_closes_first() {
    each_family("the_client_closes_first", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_000, FIRST);
        rig.open(&mut talk);
        let fin = talk.client_says(FIN | ACK, b"bye");
        rig.forwards(&talk, "the client's FIN", &fin, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, ClientClosed, 0);
        let rest = talk.backend_says(ACK | PSH, b"still something to say");
        rig.returns(&talk, "what the backend has left", &rest, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, ClientClosed, 0);
        assert_eq!(rig.closed(), Vec::<Vec<u8>>::new(), "it is not closed yet");
        let fin = talk.backend_says(FIN | ACK, &[]);
        rig.returns(&talk, "the backend's FIN", &fin, &[FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::Flows, Closed, 0);
        assert_eq!(rig.closed(), [key_bytes(talk.reverse_key())], "the agent is told which flow it was");
        let last = talk.client_says(ACK, &[]);
        rig.forwards(&talk, "the last ACK", &last, &[Forwarded]);
        rig.forwards(
            &talk,
            "the client's FIN once more",
            &Conversation::client_says(&mut talk.clone(), FIN | ACK, &[]),
            &[Forwarded],
        );
        rig.expect(&talk, Tier::Flows, Closed, 0);
    });
}

#[test]
fn the_backend_closes_first() {
    each_family("the_backend_closes_first", |rig, family| {
        rig.choose(family, Service::Mapped, &[THIRD]);
        let mut talk = Conversation::new(family, Service::Mapped, 44_001, THIRD);
        rig.open(&mut talk);
        let fin = talk.backend_says(FIN | ACK, &[]);
        rig.returns(&talk, "the backend's FIN", &fin, &[Forwarded]);
        rig.expect(&talk, Tier::Flows, BackendClosed, BACKEND_CLOSED_FIRST);
        rig.returns(&talk, "the backend's FIN once more", &fin, &[Forwarded]);
        let rest = talk.client_says(ACK, b"what the client has left");
        rig.forwards(&talk, "what the client has left", &rest, &[Forwarded]);
        let fin = talk.client_says(FIN | ACK, &[]);
        rig.forwards(&talk, "the client's FIN", &fin, &[FlowClosed, Forwarded]);
        rig.expect(&talk, Tier::Flows, Closed, BACKEND_CLOSED_FIRST);
        assert_eq!(rig.closed(), [key_bytes(talk.forward_key())], "the agent is told which flow it was");
        let last = talk.backend_says(ACK, &[]);
        rig.returns(&talk, "the last ACK", &last, &[Forwarded]);
    });
}

#[test]
fn a_fin_that_ends_the_handshake_counts_as_both() {
    each_family("a_fin_that_ends_the_handshake_counts_as_both", |rig, family| {
        let mut talk = Conversation::new(family, Service::Api, 44_002, FIRST);
        rig.syn_ack(&mut talk);
        let fin = talk.client_says(FIN | ACK, b"a short question");
        rig.forwards(&talk, "ACK and FIN in one", &fin, &[FlowEstablished, Forwarded]);
        rig.expect(&talk, Tier::Flows, ClientClosed, 0);
    });
}
