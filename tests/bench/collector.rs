//! What it costs to hold a full flow table, and how soon a closed flow is gone from it.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::{
    abi::{
        AddressV4, BackendV4, Flow, FlowKeyV4, FlowMeta, Settings, StateWord, address_bit_v4, backend_state,
        flow_flags,
    },
    tcp::State,
    tick::{Tick, ns_from_ticks, ticks_from_ns},
};
use lb_userspace::{
    agent::{clock, collector},
    kernel::{DataPlane, DropLog, PinDirectory, Sizes, batch::FlowTables, collect::Tier, pins},
};

const VIP: AddressV4 = AddressV4([10, 77, 0, 10]);
const BACKEND: AddressV4 = AddressV4([10, 77, 0, 11]);
/// Flows that are closed under the collector's eyes.
const CLOSED: u32 = 1_000;

/// Fills a table of its own, measures, and cleans up.
pub fn measure(flows: u32) -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(format!("xlb-bench-{}", std::process::id()));
    let result =
        PinDirectory::open(&directory).map_err(anyhow::Error::from).and_then(|pins| measure_in(&pins, flows));
    pins::remove_pins(&directory)?;
    // SAFETY: a path that this process has mounted; the string ends in a zero.
    unsafe {
        libc::umount2(
            std::ffi::CString::new(directory.as_os_str().as_encoded_bytes())?.as_ptr(),
            libc::MNT_DETACH,
        )
    };
    std::fs::remove_dir(&directory)?;
    result
}

fn measure_in(pins: &PinDirectory, flows: u32) -> anyhow::Result<()> {
    let sizes = Sizes { flow_table: flows, half_open_table: 32_768, ipv4: true, ipv6: false };
    let (mut plane, _) = DataPlane::load_pinned(sizes, DropLog::Off, pins)?;
    let settings = settings();
    plane.tables.settings.set(0, settings, 0)?;
    plane.tables.v4.backends.set(1, backend(), 0)?;
    let begun = Instant::now();
    for number in 0..flows {
        let (key, forward, reverse) = pair(number);
        plane
            .tables
            .v4
            .flows
            .insert(key, forward, 0)
            .context("the table takes as many flows as it was made for")?;
        plane.tables.v4.flows.insert(forward.twin, reverse, 0)?;
    }
    println!("{flows} connections entered in {:.1} s", begun.elapsed().as_secs_f64());

    let (messages, receiver) = mpsc::channel();
    let mut census = collector::start(pins.path().into(), plane.collector_descriptor()?, settings, receiver)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (cpu, wall) = (cpu_time(), Instant::now());
    let rounds = 2;
    for _ in 0..rounds {
        runtime.block_on(census.changed())?;
        let seen = census.borrow_and_update().flow_table_used;
        ensure!(seen == u64::from(flows), "the walk saw {seen} of {flows} connections");
    }
    let (cpu, wall) = (cpu_time().saturating_sub(cpu), wall.elapsed());
    println!(
        "{rounds} walks over {flows} connections: {:.2} s of CPU in {:.1} s = {:.2} % of a core; {:.0} ns an entry",
        cpu.as_secs_f64(),
        wall.as_secs_f64(),
        100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e9 / f64::from(rounds) / f64::from(flows) / 2.0,
    );
    close_and_wait(&mut plane, pins, &settings)?;
    drop(messages);
    Ok(())
}

/// Closes flows by RST, through the program, and waits for the collector.
fn close_and_wait(plane: &mut DataPlane, pins: &PinDirectory, settings: &Settings) -> anyhow::Result<()> {
    for number in 0..CLOSED {
        let packet = reset_of(number);
        plane
            .forwarder()?
            .test_run(TestRunOptions { data_in: Some(&packet), ..TestRunOptions::default() })?;
    }
    let closed = Instant::now();
    let tables = FlowTables::open(pins.path())?;
    let is_closed = |number| {
        tables
            .get(Tier::Flows, &pair(number).0)
            .map(|flow| StateWord(flow.meta.state).state() == State::Closed)
    };
    let timeout = Duration::from_nanos(ns_from_ticks(settings.closed_timeout));
    ensure!((0..CLOSED).all(|number| is_closed(number) == Some(true)), "every RST closes its flow");
    let limit = timeout * 4;
    while closed.elapsed() < limit {
        if (0..CLOSED).all(|number| is_closed(number).is_none()) {
            println!(
                "{CLOSED} flows closed: the last was gone after {:.1} s; their time-out is {:.1} s",
                closed.elapsed().as_secs_f64(),
                timeout.as_secs_f64()
            );
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("closed flows are still there after four times their time-out")
}

fn settings() -> Settings {
    let ticks = |seconds: u64| ticks_from_ns(seconds * 1_000_000_000);
    let mut address_filter = [0; 16];
    let bit = address_bit_v4(VIP.words()[0]);
    address_filter[(bit >> 6) as usize] |= 1 << (bit & 63);
    Settings {
        hash_key: [1, 2],
        address_filter,
        established_timeout: ticks(4 * 3600),
        half_closed_timeout: ticks(900),
        half_open_timeout: ticks(60),
        closed_timeout: ticks(10),
        time_wait_timeout: ticks(60),
        uncollected_after: ticks(7200),
        snat_port_first: 10_000,
        snat_port_count: 20_000,
        flags: 0,
    }
}

fn backend() -> BackendV4 {
    BackendV4 {
        address: BACKEND,
        snat_address: VIP,
        snat_is_vip: 1,
        mac: [2, 0, 0, 0, 0, 1],
        link: 1,
        state: backend_state::ACTIVE,
        zero: [0; 4],
    }
}

/// The number-th connection: its key and both entries.
fn pair(number: u32) -> (FlowKeyV4, Flow<AddressV4>, Flow<AddressV4>) {
    let [_, b, c, d] = (number / 16).to_be_bytes();
    let client = AddressV4([11, b, c, d]);
    let port = (40_000 + (number % 16) as u16).to_be_bytes();
    let key = FlowKeyV4::new(client, port, VIP, 6443u16.to_be_bytes());
    // A SNAT address for each 20,000 connections stands for as many backends.
    let [high, low] = ((number / 20_000) as u16).to_be_bytes();
    let snat = AddressV4([12, 0, high, low]);
    let snat_port = (10_000 + (number % 20_000) as u16).to_be_bytes();
    let twin = FlowKeyV4::new(BACKEND, 6443u16.to_be_bytes(), snat, snat_port);
    let now = Tick::from_ns(clock::monotonic_ns()).0;
    let meta = |flags| FlowMeta {
        state: StateWord::new(State::Established, flags, 0, 0).0,
        backend: 1,
        last_seen: now,
        created: now,
        ..FlowMeta::default()
    };
    (key, Flow { meta: meta(0), twin }, Flow { meta: meta(flow_flags::REVERSE), twin: key })
}

/// A RST of the client; its checksums do not matter to anybody here.
fn reset_of(number: u32) -> Vec<u8> {
    let key = pair(number).0;
    let mut packet = vec![0; 12];
    packet.extend_from_slice(&[0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend_from_slice(&key.source.0);
    packet.extend_from_slice(&key.destination.0);
    packet.extend_from_slice(&key.source_port);
    packet.extend_from_slice(&key.destination_port);
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x04, 0, 0, 0, 0, 0, 0]);
    packet.resize(60, 0);
    packet
}

/// The CPU time of this process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
