//! Story after story, until enough has been run or something differs.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use lb_userspace::kernel::Sizes;

use crate::{
    duel::{Difference, Duel},
    generator::Generator,
    program::Program,
    report,
    rig::{self, Rig, SMALL, setting::FAMILIES},
    shorten,
    story::Step,
    world::HostConnection,
};

/// The seed of the portion that every test run has.
const SEED: u64 = 1;
/// Its packets.
const PACKETS: u64 = 1_000_000;
/// Those of the portion for a program that differs in one thing.
const FEW_PACKETS: u64 = 50_000;

/// Connections that the flow table of each family holds: so few that a story can fill it.
const FLOW_TABLE: u32 = 4;

/// The seed to begin with, in the environment: that of the first story, the next has the next.
const SEED_VARIABLE: &str = "XDPLB_FUZZ_SEED";
/// How long to go on, in the environment.
const MINUTES_VARIABLE: &str = "XDPLB_FUZZ_MINUTES";

/// When it is enough.
enum Enough {
    Packets(u64),
    Time(Instant),
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// One story, as it is made.
fn tell(duel: &mut Duel<'_>, seed: u64) -> Result<(), (Vec<Step>, Difference)> {
    let mut generator = Generator::new(seed);
    let mut steps = Vec::new();
    duel.begin();
    while let Some(step) = generator.next(duel.model()) {
        let outcome = duel.step(&step);
        steps.push(step);
        outcome.map_err(|difference| (steps.clone(), difference))?;
    }
    duel.coverage.stories += 1;
    duel.end().map_err(|difference| (steps, difference))
}

/// What a person needs to make a named test of a difference.
fn failure(duel: &mut Duel<'_>, seed: u64, steps: &[Step], difference: &str) -> String {
    let shortest = shorten::shorten(duel, steps);
    let note =
        if shortest.is_some() { "" } else { " (it did not come again when the story was run once more)" };
    let (steps, difference) = shortest.unwrap_or((steps.to_vec(), difference.into()));
    format!(
        "the program and the model differ{note}; `cargo xtask fuzz --seed {seed}` shows it again\n{}\n{difference}",
        report::story(&steps)
    )
}

/// The lower tier keeps free entries at hand for each CPU that asks, and overwrites others where it has none left for the next
/// one. With one CPU it overwrites nothing in a story.
fn stay_on_one_cpu() {
    // SAFETY: a set of bits, for which zero is a value; it is valid for the call, which changes this thread only.
    let failed = unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().try_into().unwrap_or(0), &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one)
    };
    assert_eq!(failed, 0, "a thread may choose its CPU");
}

/// Runs stories from a seed on, with a flow table of so many connections.
fn run(rig: &mut Rig, flow_table: u32, first: u64, enough: &Enough) {
    stay_on_one_cpu();
    let far = rig::index_of("far0");
    let host_connections = FAMILIES.map(HostConnection::open);
    let interfaces = [rig.interfaces[0], rig.interfaces[1], far];
    let program = Program::new(rig);
    let tables = program.tables(&host_connections, flow_table);
    let mut duel = Duel::new(program, tables, interfaces);
    let begun = Instant::now();
    for seed in first.. {
        if let Err((steps, difference)) = tell(&mut duel, seed) {
            panic!("{}", failure(&mut duel, seed, &steps, &difference));
        }
        let is_enough = match enough {
            Enough::Packets(packets) => duel.coverage.frames >= *packets,
            Enough::Time(end) => Instant::now() >= *end,
        };
        if is_enough {
            break;
        }
    }
    println!("{}", duel.coverage);
    // Past libtest, which keeps what a test prints that passes.
    let line =
        format!("fuzz, from seed {first} on, {} s: {}\n", begun.elapsed().as_secs(), duel.coverage.summary());
    io::stdout().write_all(line.as_bytes()).expect("the standard output can be written to");
    let surprises = duel.coverage.surprises();
    let is_long = duel.coverage.frames >= PACKETS;
    assert!(!is_long || surprises.is_empty(), "reached or not reached against expectation: {surprises:?}");
}

#[test]
fn the_program_does_what_the_model_says() {
    let minutes = number(MINUTES_VARIABLE);
    let first = number(SEED_VARIABLE).unwrap_or(SEED);
    let enough = minutes.map_or(Enough::Packets(PACKETS), |minutes| {
        Enough::Time(Instant::now() + Duration::from_secs(minutes * 60))
    });
    let sizes = Sizes { flow_table: FLOW_TABLE, half_open_table: 512, ipv4: true, ipv6: true };
    rig::with("the_program_does_what_the_model_says", sizes, |rig| run(rig, FLOW_TABLE, first, &enough));
}

/// The same programs with what they say of drops are compiled otherwise.
#[test]
fn the_program_does_the_same_when_it_tells_of_drops() {
    rig::with_drop_log("the_program_does_the_same_when_it_tells_of_drops", |rig| {
        run(rig, SMALL.flow_table, SEED, &Enough::Packets(FEW_PACKETS));
    });
}
