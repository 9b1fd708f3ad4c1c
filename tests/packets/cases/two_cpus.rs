//! Two CPUs that allocate at once.

use std::{collections::HashMap, mem, net::SocketAddr, sync::Barrier, thread};

use lb_common::{counters::Counter, tcp::State::SynSent};

use crate::{
    packet::flags::SYN,
    rig::{
        Conversation, Entry, Rig, SMALL, Tier, Tuple, Verdict, run,
        setting::{FAMILIES, FIRST, Family, Service},
        with,
    },
};

/// Connections of each thread alone, and of both.
const CONNECTIONS: u16 = 1_000;

/// Few enough that most first candidates are in use in the end, and enough that none is refused.
const FEW_PORTS: u16 = 7_000;

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    // SAFETY: zero is a value of the set, and the call writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        let failed = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        assert_eq!(failed, 0, "the CPUs can be asked for");
        set
    };
    // SAFETY: the number is within the set.
    (0..1024).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// Keeps this thread on a CPU.
pub fn pin(cpu: usize) {
    // SAFETY: zero is a value of the set, the number is within it, and the call reads its size.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(failed, 0, "a thread can be kept on CPU {cpu}");
}

fn talk(family: Family, host: u8, number: u16) -> Conversation {
    Conversation::of(SocketAddr::new(family.client(host), 20_000 + number), family, Service::Api, FIRST)
}

/// One thread's SYNs, its own and those that the other thread sends too, in an order of its own.
fn frames(family: Family, own: u8) -> Vec<Vec<u8>> {
    let shared = 100;
    let numbers = 0..CONNECTIONS;
    let of = |host, number| talk(family, host, number).client_says(SYN, &[]).bytes();
    numbers.flat_map(|number| [of(own, number), of(shared, number)]).collect()
}

/// Runs both threads' SYNs at once.
fn race(rig: &mut Rig, family: Family) {
    let interface = rig.interfaces[0];
    let program = rig.forwarder();
    let cpus = cpus();
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for (own, cpu) in [(1, cpus[0]), (2, cpus[cpus.len() - 1])] {
            let frames = frames(family, own);
            let start = &start;
            scope.spawn(move || {
                pin(cpu);
                start.wait();
                for (number, frame) in frames.iter().enumerate() {
                    let verdict = run(program, frame, interface).verdict;
                    let shared = number % 2 == 1;
                    assert!(
                        verdict == Verdict::Transmit || (shared && verdict == Verdict::Drop),
                        "SYN {number} of thread {own} met {verdict:?}"
                    );
                }
            });
        }
    });
}

fn check(rig: &mut Rig, family: Family, taken_over: usize) {
    let entries: HashMap<Tuple, Entry> = rig.all(family, Tier::HalfOpen).into_iter().collect();
    for (at, entry) in &entries {
        let twin = entries.get(&entry.twin).unwrap_or_else(|| panic!("{at:?} has a twin"));
        assert_eq!(twin.twin, *at, "the twin of the twin of {at:?}");
        assert_eq!(entry.word().state(), SynSent, "the state of {at:?}");
    }
    let flows = 3 * usize::from(CONNECTIONS);
    let mut entered = 0;
    for host in [1, 2, 100] {
        for number in 0..CONNECTIONS {
            entered += usize::from(entries.contains_key(&talk(family, host, number).forward_key()));
        }
    }
    // A machine so busy that a handshake grew old meanwhile may have given it up for another.
    assert_eq!(entered + taken_over, flows, "connections that were entered, and {taken_over} given up");
    assert_eq!(entries.len(), 2 * entered, "two entries for each flow, so no reverse key serves two");
    assert_eq!(rig.all(family, Tier::Flows), [], "none is in the flow table");
}

/// Handshakes that were given up until now.
fn taken_over(rig: &mut Rig) -> usize {
    let counters = rig.counters();
    let found = counters.iter().find(|(name, _)| *name == Counter::HalfOpenTakenOver.name());
    usize::try_from(found.expect("the counter has a name").1).expect("a small number")
}

#[test]
fn two_cpus_never_give_one_port_twice() {
    let sizes = lb_userspace::kernel::Sizes { half_open_table: 16_384, ..SMALL };
    with("two_cpus_never_give_one_port_twice", sizes, |rig| {
        rig.write_settings(|settings| settings.snat_port_count = FEW_PORTS);
        for family in FAMILIES {
            let before = taken_over(rig);
            race(rig, family);
            let taken_over = taken_over(rig) - before;
            check(rig, family, taken_over);
        }
    });
}
