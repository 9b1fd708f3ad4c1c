//! Whatever both ends say in SYN-SENT, in whatever order, while the tables change: no half of a pair is left, no client has
//! two mappings, and nothing leaves with a worse checksum than it came with.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use lb_common::{
    abi::{
        backend_state::{ACTIVE, RESET, UNRESOLVED},
        flow_flags::{REVERSE, UNCONFIRMED},
    },
    tcp::State::{Closed, SynReceived, SynSent},
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::{
    cases::property::see,
    icmp::IcmpError,
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    rig::{
        Conversation, Entry, Rig, Tier, Tuple, Verdict, each_family,
        setting::{CONTROLLERS, FIRST, Family, Service},
    },
};

/// Stories of one family.
const CASES: u32 = 400;

/// Clients, each with a connection of its own.
const CLIENTS: u16 = 3;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// A client sends a packet: flags, how far its number is off, bytes of data.
    Client { client: u16, flags: u8, off: u32, data: usize },
    /// A backend sends a packet to a port of a client's connection: which candidate, flags, how far its acknowledgment is off.
    Backend { client: u16, backend: usize, candidate: u32, flags: u8, off: u32 },
    /// Somebody says that a backend cannot be reached.
    Unreachable { client: u16, backend: usize, candidate: u32 },
    /// A backend gets another state.
    State { backend: usize, state: u8 },
    /// The service gets other backends: a bit for each.
    Rotation { backends: u8 },
    /// The tier overwrites half a pair.
    Overwritten { client: u16, forward: bool },
    /// A client's entries are older.
    Aged { client: u16, ticks: u32 },
}

fn off() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(0_u32.wrapping_sub(1)), 1 => any::<u32>()]
}

fn event() -> impl Strategy<Value = Event> {
    let flags = prop_oneof![
        4 => Just(SYN), 3 => Just(SYN | ACK), 3 => Just(RST | ACK), 2 => Just(ACK), 1 => Just(RST),
        1 => Just(ACK | PSH), 1 => Just(ACK | FIN), 1 => any::<u8>(),
    ];
    let flags = flags.boxed();
    let (client, backend, candidate) = (0..CLIENTS, 0..CONTROLLERS.len(), 0..3_u32);
    prop_oneof![
        6 => (client.clone(), prop_oneof![4 => Just(SYN).boxed(), 1 => flags.clone()], off(), prop_oneof![3 => Just(0_usize), 1 => 1..50_usize])
            .prop_map(|(client, flags, off, data)| Event::Client { client, flags, off, data }),
        8 => (client.clone(), backend.clone(), candidate.clone(), flags, off())
            .prop_map(|(client, backend, candidate, flags, off)| Event::Backend { client, backend, candidate, flags, off }),
        2 => (client.clone(), backend.clone(), candidate)
            .prop_map(|(client, backend, candidate)| Event::Unreachable { client, backend, candidate }),
        1 => (backend, prop::sample::select(vec![ACTIVE, ACTIVE, UNRESOLVED, RESET]))
            .prop_map(|(backend, state)| Event::State { backend, state }),
        1 => any::<u8>().prop_map(|backends| Event::Rotation { backends }),
        1 => (client.clone(), any::<bool>()).prop_map(|(client, forward)| Event::Overwritten { client, forward }),
        1 => (client, prop::sample::select(vec![50_u32, 400, 4_000])).prop_map(|(client, ticks)| Event::Aged { client, ticks }),
    ]
}

fn talk(family: Family, client: u16) -> Conversation {
    Conversation::new(family, Service::Api, 25_000 + client, FIRST)
}

fn at(family: Family, client: u16, backend: usize, candidate: u32) -> Conversation {
    talk(family, client).to(CONTROLLERS[backend]).with_candidate(candidate)
}

/// A packet leaves no worse than it came.
fn send(rig: &mut Rig, frame: &[u8], link: usize) -> Result<(), TestCaseError> {
    rig.ingress = link;
    let ran = rig.run(frame);
    if matches!(ran.verdict, Verdict::Drop) || (ran.verdict == Verdict::Pass && ran.output == frame) {
        return Ok(());
    }
    let fail =
        |what: &str| Err(TestCaseError::fail(format!("{what}\n in {frame:02x?}\nout {:02x?}", ran.output)));
    let Some(after) = see(&ran.output) else {
        return fail("what leaves is no TCP segment");
    };
    if ran.verdict == Verdict::Pass || after.end > ran.output.len() {
        return fail("what passes is changed, or what leaves is longer than its frame");
    }
    // Every packet here comes with the right ones.
    if (after.ip_sum, after.tcp_sum) == (0xffff, 0xffff) { Ok(()) } else { fail("a checksum is wrong") }
}

/// The tables have no half pairs but those that wait for their end and those that were torn and that nobody has met since;
/// and no client has two mappings.
fn whole(rig: &mut Rig, family: Family, torn: &HashSet<Tuple>) -> Result<(), TestCaseError> {
    let entries: HashMap<Tuple, Entry> = rig.all(family, Tier::HalfOpen).into_iter().collect();
    let mut live: HashMap<Tuple, u32> = HashMap::new();
    for (at, entry) in &entries {
        let word = entry.word();
        let has_twin = entries.get(&entry.twin).is_some_and(|twin| twin.twin == *at);
        // A guess at an adopted connection waits for the client without its reverse entry.
        let waits = if word.has(REVERSE) { word.state() == Closed } else { word.has(UNCONFIRMED) };
        if !has_twin && torn.contains(at) {
            continue;
        }
        if !has_twin && !waits {
            return Err(TestCaseError::fail(format!("{at:?} is half a pair: {entry:?}")));
        }
        if word.has(REVERSE) && matches!(word.state(), SynSent | SynReceived) {
            *live.entry(entry.twin).or_default() += 1;
        }
    }
    match live.iter().find(|(_, mappings)| **mappings > 1) {
        Some((client, mappings)) => Err(TestCaseError::fail(format!("{client:?} has {mappings} mappings"))),
        None => Ok(()),
    }
}

/// Lets something happen. The half of a pair that is left, where the other half was overwritten.
fn happens(rig: &mut Rig, family: Family, event: &Event) -> Result<Option<Tuple>, TestCaseError> {
    match *event {
        Event::Client { client, flags, off, data } => {
            let mut talk = talk(family, client);
            talk.client_next = talk.client_next.wrapping_add(off);
            send(rig, &talk.client_says(flags, &vec![7; data]).bytes(), 0)?;
        }
        Event::Backend { client, backend, candidate, flags, off } => {
            let mut talk = at(family, client, backend, candidate);
            talk.client_next = talk.client_next.wrapping_add(1).wrapping_add(off);
            let link = talk.controller.link;
            send(rig, &talk.backend_says(flags, &[]).bytes(), link)?;
        }
        Event::Unreachable { client, backend, candidate } => {
            let mut talk = at(family, client, backend, candidate);
            let syn: Packet = talk.client_says(SYN, &[]);
            send(rig, &IcmpError::unreachable(family.gateway(), &talk.forwarded(&syn), 1).bytes(), 0)?;
        }
        Event::State { backend, state } => rig.set_backend_state(family, CONTROLLERS[backend], state),
        Event::Rotation { backends } => {
            let is_in = |index: usize| backends >> index & 1 != 0;
            let chosen = (0..CONTROLLERS.len()).filter(|index| is_in(*index)).map(|index| CONTROLLERS[index]);
            rig.choose(family, Service::Api, &chosen.collect::<Vec<_>>());
        }
        Event::Overwritten { client, forward } => {
            if let Some(keys) = pair(rig, family, client) {
                let (gone, left) = if forward { (keys[0], keys[1]) } else { (keys[1], keys[0]) };
                rig.remove(Tier::HalfOpen, gone);
                return Ok(Some(left));
            }
        }
        Event::Aged { client, ticks } => {
            for at in pair(rig, family, client).into_iter().flatten() {
                rig.age(Tier::HalfOpen, at, ticks);
            }
        }
    }
    Ok(None)
}

/// The keys of a client's pair.
fn pair(rig: &mut Rig, family: Family, client: u16) -> Option<[Tuple; 2]> {
    let forward = talk(family, client).forward_key();
    let reverse = rig.get(Tier::HalfOpen, forward)?.twin;
    let twin = rig.get(Tier::HalfOpen, reverse)?;
    (twin.twin == forward).then_some([forward, reverse])
}

/// One story, from empty tables on.
fn story(rig: &mut Rig, family: Family, events: &[Event]) -> Result<(), TestCaseError> {
    rig.forget_flows(family);
    rig.choose(family, Service::Api, &CONTROLLERS);
    for controller in CONTROLLERS {
        rig.set_backend_state(family, controller, ACTIVE);
    }
    let mut torn = HashSet::new();
    for event in events {
        torn.extend(happens(rig, family, event)?);
        whole(rig, family, &torn)?;
    }
    Ok(())
}

#[test]
fn no_story_of_a_handshake_leaves_half_a_pair_or_two_mappings() {
    each_family("no_story_of_a_handshake_leaves_half_a_pair_or_two_mappings", |rig, family| {
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let rig = RefCell::new(rig);
        let outcome = TestRunner::new(config)
            .run(&vec(event(), 1..40), |events| story(&mut rig.borrow_mut(), family, &events));
        if let Err(error) = outcome {
            panic!("a story ends badly: {error}");
        }
    });
}
