//! `lab-node load`: many short connections, by a number of workers or at a rate, every failure counted by kind.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_tests::{
    moment,
    report::{Connect, Failed, Latency, LoadReport},
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_rustls::TlsConnector;

use crate::{
    client::{Connection, Failure},
    stop, tls,
};

/// How often what was seen so far is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Slower than this is a lost SYN: the first retransmission comes after a second (RFC 6298).
const SLOW_CONNECT: Duration = Duration::from_secs(1);
/// A worker whose connection failed rests so long, or a refused port would be a busy loop.
const REST: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The service.
    #[arg(long)]
    target: SocketAddr,
    /// Workers, each one connection after another.
    #[arg(long, default_value_t = 8)]
    concurrency: u64,
    /// New connections a second, whatever becomes of the earlier ones; instead of workers.
    #[arg(long)]
    rate: Option<u64>,
    /// End after so many connections.
    #[arg(long)]
    count: Option<u64>,
    /// End after so long.
    #[arg(long)]
    duration_ms: Option<u64>,
    /// Requests on each connection.
    #[arg(long, default_value_t = 1)]
    requests: u64,
    /// The addresses to connect from, in turn.
    #[arg(long, value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// How long each step of a connection may take.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
    /// End when stdin closes.
    #[arg(long)]
    until_stdin_closes: bool,
}

struct Load {
    arguments: Arguments,
    connector: TlsConnector,
    patience: Duration,
    begun: AtomicU64,
    tally: Mutex<Tally>,
}

/// What was seen so far, when the connects began and how long they took: all, and how long those whose SYN was sent again.
#[derive(Default)]
struct Tally {
    report: LoadReport,
    connects: Vec<Connect>,
    connects_again: Vec<u64>,
}

/// A connection that got its answer.
struct Answered {
    backend: String,
    connect: Duration,
    syns_again: u32,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = stop::listen(arguments.until_stdin_closes)?;
    let duration = arguments.duration_ms.map_or(Duration::MAX, Duration::from_millis);
    let load = Arc::new(Load {
        connector: tls::connector()?,
        patience: Duration::from_millis(arguments.timeout_ms),
        begun: AtomicU64::new(0),
        tally: Mutex::default(),
        arguments,
    });
    let start = Instant::now();
    let mut connections = JoinSet::new();
    tokio::select! {
        () = make(&load, &mut connections) => {}
        () = tell(&load, start) => {}
        () = sleep(duration) => {}
        () = stop::asked(stop) => {}
    }
    // No new ones; those under way have their time-outs, and count.
    load.begun.store(u64::MAX / 2, Ordering::Relaxed);
    while connections.join_next().await.is_some() {}
    println!("connects {}", serde_json::to_string(&load.tally().connects)?);
    println!("report {}", serde_json::to_string(&load.report(start, true))?);
    Ok(())
}

/// Makes connections until the count is reached.
async fn make(load: &Arc<Load>, connections: &mut JoinSet<()>) {
    if let Some(rate) = load.arguments.rate {
        let mut clock = interval(Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX));
        // A machine that was held up for a while is not to be flooded after.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let Some(number) = load.next() else { break };
            connections.spawn(Arc::clone(load).one(number));
            while connections.try_join_next().is_some() {}
        }
    } else {
        for _ in 0..load.arguments.concurrency {
            let load = Arc::clone(load);
            connections.spawn(async move {
                while let Some(number) = load.next() {
                    Arc::clone(&load).one(number).await;
                }
            });
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Tells what was seen so far, for ever.
async fn tell(load: &Load, start: Instant) {
    loop {
        sleep(PROGRESS_INTERVAL).await;
        if let Ok(line) = serde_json::to_string(&load.report(start, false)) {
            println!("progress {line}");
        }
    }
}

impl Load {
    /// The number of the next connection, if there is to be one.
    fn next(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let most = self.arguments.count.unwrap_or(u64::MAX / 2);
        (number < most).then_some(number)
    }

    async fn one(self: Arc<Self>, number: u64) {
        let sources = &self.arguments.source;
        let source = sources.get((number % sources.len().max(1) as u64) as usize);
        let source = source.map(|address| SocketAddr::new(*address, 0));
        let begun_us = moment::now_us();
        let outcome = self.talk(source).await;
        let failed = outcome.is_err();
        self.count(number, begun_us, outcome);
        if failed && self.arguments.rate.is_none() {
            sleep(REST).await;
        }
    }

    async fn talk(&self, source: Option<SocketAddr>) -> Result<Answered, Failure> {
        let mut connection =
            Connection::open(&self.connector, self.arguments.target, source, self.patience).await?;
        let mut backend = String::new();
        for request in 1..=self.arguments.requests {
            backend = connection.whoami(request == self.arguments.requests, self.patience).await?;
        }
        Ok(Answered { backend, connect: connection.connect, syns_again: connection.syns_again })
    }

    fn count(&self, number: u64, begun_us: u64, outcome: Result<Answered, Failure>) {
        let mut tally = self.tally();
        let Tally { report, connects, connects_again } = &mut *tally;
        report.attempts += 1;
        match outcome {
            Ok(Answered { backend, connect, syns_again }) => {
                report.ok += 1;
                *report.backends.entry(backend).or_default() += 1;
                report.connects_over_1s += u64::from(connect > SLOW_CONNECT);
                connects.push(Connect { begun_us, took_us: connect.as_micros() as u64 });
                if syns_again > 0 {
                    *report.syns_again.entry(syns_again.into()).or_default() += 1;
                    connects_again.push(connect.as_micros() as u64);
                }
            }
            Err(failure) => {
                let why = failure.to_string();
                *report.failures.entry(why.clone()).or_default() += 1;
                report.failed_each.push(Failed { number, begun_us, ended_us: moment::now_us(), why });
            }
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen; sorting the latencies only at the end.
    fn report(&self, start: Instant, last: bool) -> LoadReport {
        let tally = self.tally();
        let mut report = tally.report.clone();
        // At the end the counter has been pushed out of reach.
        report.begun = if last { report.attempts } else { self.begun.load(Ordering::Relaxed) };
        report.elapsed_ms = start.elapsed().as_millis() as u64;
        if last {
            report.connect = Latency::of(tally.connects.iter().map(|connect| connect.took_us).collect());
            report.connect_again = Latency::of(tally.connects_again.clone());
        }
        report
    }
}
