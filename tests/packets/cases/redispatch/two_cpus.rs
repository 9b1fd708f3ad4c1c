//! Two CPUs with two packets of one handshake at the same time.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use lb_common::{
    abi::flow_flags::REVERSE,
    tcp::State::{Closed, SynReceived, SynSent},
};
use lb_userspace::kernel::Sizes;

use crate::{
    cases::two_cpus::{cpus, pin},
    packet::flags::{ACK, SYN},
    rig::{
        Conversation, Entry, Rig, SMALL, Tier, Tuple, Verdict, run,
        setting::{CONTROLLERS, FAMILIES, FIRST, Family, Service},
        with,
    },
};

/// Handshakes that are begun together: few enough that none grows old meanwhile and is given up for another.
const HANDSHAKES: usize = 100;

/// How often so many meet, of one family and in one way.
const ROUNDS: u16 = 20;

/// Room for all of them, and for the mappings that are taken back.
const ROOM: Sizes = Sizes { half_open_table: 4_096, ..SMALL };

/// What the two CPUs get, of each handshake.
type Meeting = fn(&Conversation) -> [Vec<u8>; 2];

fn syn(talk: &Conversation) -> Vec<u8> {
    talk.clone().client_says(SYN, &[]).bytes()
}

/// A conversation of which the client has sent its SYN, as its backend sees it.
fn sent(talk: &Conversation) -> Conversation {
    let mut talk = talk.clone();
    talk.client_says(SYN, &[]);
    talk
}

fn refusal_and_syn(talk: &Conversation) -> [Vec<u8>; 2] {
    [sent(talk).refusal().bytes(), syn(talk)]
}

fn refusal_twice(talk: &Conversation) -> [Vec<u8>; 2] {
    [sent(talk).refusal().bytes(), sent(talk).refusal().bytes()]
}

fn syn_twice(talk: &Conversation) -> [Vec<u8>; 2] {
    [syn(talk), syn(talk)]
}

fn answer_and_syn(talk: &Conversation) -> [Vec<u8>; 2] {
    [sent(talk).backend_says(SYN | ACK, &[]).bytes(), syn(talk)]
}

/// Handshakes of which no two have the same first port.
fn talks(family: Family, round: u16) -> Vec<Conversation> {
    let first = 20_000 + round * 500;
    let of = |number| Conversation::new(family, Service::Api, number, FIRST);
    let mut ports = HashSet::new();
    (first..).map(of).filter(|talk| ports.insert(talk.snat)).take(HANDSHAKES).collect()
}

/// Enters every handshake, then lets the two packets of each meet. What the first CPU's packets became.
fn meet(rig: &mut Rig, talks: &[Conversation], meeting: Meeting) -> Vec<(Verdict, Vec<u8>)> {
    let interface = rig.interfaces[0];
    let program = rig.forwarder();
    for talk in talks {
        run(program, &syn(talk), interface);
    }
    let frames: Vec<[Vec<u8>; 2]> = talks.iter().map(meeting).collect();
    let cpus = cpus();
    let arrived = AtomicUsize::new(0);
    let side = |side: usize, cpu: usize| {
        pin(cpu);
        let one = |(number, frames): (usize, &[Vec<u8>; 2])| {
            arrived.fetch_add(1, SeqCst);
            while arrived.load(SeqCst) < 2 * (number + 1) {
                thread::yield_now();
            }
            let ran = run(program, &frames[side], interface);
            (ran.verdict, ran.output)
        };
        frames.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| side(0, cpus[0]));
        let second = scope.spawn(|| side(1, cpus[cpus.len() - 1]));
        second.join().expect("the second CPU's thread ends");
        first.join().expect("the first CPU's thread ends")
    })
}

/// Every client has one mapping, whose two halves are in the same state; what was taken back is closed.
fn check(rig: &mut Rig, family: Family, talks: &[Conversation]) -> HashMap<Tuple, Entry> {
    let entries: HashMap<Tuple, Entry> = rig.all(family, Tier::HalfOpen).into_iter().collect();
    for talk in talks {
        let forward = entries.get(&talk.forward_key());
        let forward = forward.unwrap_or_else(|| panic!("the client {} has a mapping", talk.client));
        let reverse = entries.get(&forward.twin);
        let reverse = reverse.unwrap_or_else(|| panic!("the entry of {} has a twin", talk.client));
        assert_eq!(reverse.twin, talk.forward_key(), "the twin of the twin of {}", talk.client);
        let states = (forward.word().state(), reverse.word().state());
        assert!(
            states.0 == states.1 && matches!(states.0, SynSent | SynReceived),
            "{}: {states:?}",
            talk.client
        );
        assert_eq!(forward.meta.backend, reverse.meta.backend, "the backend of {}", talk.client);
    }
    let lives = |(at, entry): (&Tuple, &Entry)| {
        let is_reverse = entry.word().has(REVERSE);
        let has_twin = entries.get(&entry.twin).is_some_and(|twin| twin.twin == *at);
        assert!(
            has_twin || (is_reverse && entry.word().state() == Closed),
            "{at:?} is half a pair: {entry:?}"
        );
        is_reverse && has_twin
    };
    assert_eq!(entries.iter().filter(|entry| lives(*entry)).count(), talks.len(), "live mappings");
    entries
}

fn each_meeting(test: &str, meeting: Meeting) {
    with(test, ROOM, |rig| {
        for family in FAMILIES {
            rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
            for round in 0..ROUNDS {
                let talks = talks(family, round);
                meet(rig, &talks, meeting);
                check(rig, family, &talks);
                rig.forget_flows(family);
            }
        }
    });
}

#[test]
fn a_refusal_and_a_syn_at_once_leave_one_mapping() {
    each_meeting("a_refusal_and_a_syn_at_once_leave_one_mapping", refusal_and_syn);
}

#[test]
fn two_refusals_at_once_leave_one_mapping() {
    each_meeting("two_refusals_at_once_leave_one_mapping", refusal_twice);
}

#[test]
fn two_syns_at_once_leave_one_mapping() {
    each_meeting("two_syns_at_once_leave_one_mapping", syn_twice);
}

/// Whoever has got an answer has the connection with the backend that gave it.
fn agree(talks: &[Conversation], answers: Vec<(Verdict, Vec<u8>)>, entries: &HashMap<Tuple, Entry>) {
    for (talk, (verdict, output)) in talks.iter().zip(answers) {
        let forward = entries[&talk.forward_key()];
        let answered = sent(talk);
        let answer = answered.returned(&answered.clone().backend_says(SYN | ACK, &[]));
        if verdict == Verdict::Transmit && output == answer.bytes() {
            let shown = (forward.word().state(), forward.meta.backend);
            assert_eq!(shown, (SynReceived, FIRST.id), "the client {} has an answer", talk.client);
        }
    }
}

/// An answer that reaches the client is that of the backend which has the connection.
#[test]
fn an_answer_and_a_syn_at_once_agree_on_the_backend() {
    with("an_answer_and_a_syn_at_once_agree_on_the_backend", ROOM, |rig| {
        for family in FAMILIES {
            rig.choose_from(family, Service::Api, &[FIRST], &CONTROLLERS);
            for round in 0..ROUNDS {
                let talks = talks(family, round);
                let answers = meet(rig, &talks, answer_and_syn);
                let entries = check(rig, family, &talks);
                agree(&talks, answers, &entries);
                rig.forget_flows(family);
            }
        }
    });
}
