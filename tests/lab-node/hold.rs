//! `lab-node hold`: long-lived connections, the moment when one breaks, and a last word on each at the end.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_tests::{
    moment,
    report::{Broken, HoldReport, Reconnected},
};
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};
use tokio_rustls::TlsConnector;

use crate::{
    client::{Connection, Failure, in_a_word},
    stop::{self, Stop},
    tls, watch,
};

/// So long a client rests that could not make a connection anew, as client-go does, before it tries again.
const REST: Duration = Duration::from_millis(800);

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// The service.
    #[arg(long)]
    target: SocketAddr,
    /// How many; opened one after another.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// Open all of them at once, and ask on them only when all stand.
    #[arg(long)]
    at_once: bool,
    /// The source port of the first; the others take the next ones. The kernel's choice unless said.
    #[arg(long)]
    first_port: Option<u16>,
    /// A request on each this often; 0 is silence.
    #[arg(long, default_value_t = 200)]
    interval_ms: u64,
    /// Ask once on each and then only listen, as a watch does: the server tells what is new.
    #[arg(long, conflicts_with = "at_once")]
    watch: bool,
    /// Make anew what breaks.
    #[arg(long)]
    reconnect: bool,
    /// How long an answer may take.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
    /// End when stdin closes.
    #[arg(long)]
    until_stdin_closes: bool,
}

struct Shared {
    arguments: Arguments,
    connector: TlsConnector,
    report: Mutex<HoldReport>,
    begun: Instant,
    interval: Duration,
    patience: Duration,
    stop: Stop,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = stop::listen(arguments.until_stdin_closes)?;
    let shared = Arc::new(Shared {
        connector: tls::connector()?,
        report: Mutex::default(),
        begun: Instant::now(),
        interval: Duration::from_millis(arguments.interval_ms),
        patience: Duration::from_millis(arguments.timeout_ms),
        stop: stop.clone(),
        arguments,
    });
    let mut held = JoinSet::new();
    let work = async {
        if shared.arguments.at_once {
            open_at_once(&shared, &mut held).await;
        } else {
            open_in_turn(&shared, &mut held).await;
        }
        println!("ready {}", serde_json::to_string(&shared.report().backends)?);
        // The report is given only when it is asked for, even if all break.
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        failed = work => failed?,
        () = stop::asked(stop) => {}
    }
    while held.join_next().await.is_some() {}
    println!("report {}", serde_json::to_string(&*shared.report())?);
    Ok(())
}

/// A line for whoever waits for it.
fn tell(what: &str, news: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(news) {
        println!("{what} {line}");
    }
}

async fn open_in_turn(shared: &Arc<Shared>, held: &mut JoinSet<()>) {
    for number in 0..shared.arguments.connections {
        if let Some(connection) = shared.open(number).await {
            shared.ask_and_hold(connection, held).await;
        }
    }
}

async fn open_at_once(shared: &Arc<Shared>, held: &mut JoinSet<()>) {
    let mut opening = JoinSet::new();
    for number in 0..shared.arguments.connections {
        let shared = Arc::clone(shared);
        opening.spawn(async move { shared.open(number).await });
    }
    let stand: Vec<Connection> = opening.join_all().await.into_iter().flatten().collect();
    println!("open {}", stand.len());
    let mut asking = JoinSet::new();
    for connection in stand {
        let shared = Arc::clone(shared);
        asking.spawn(async move { shared.ask(connection).await });
    }
    for (connection, backend) in asking.join_all().await.into_iter().flatten() {
        held.spawn(Arc::clone(shared).hold(connection, backend));
    }
}

impl Shared {
    fn report(&self) -> std::sync::MutexGuard<'_, HoldReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fails(&self, failure: Failure) {
        *self.report().failures.entry(failure.to_string()).or_default() += 1;
    }

    fn source(&self, number: u64) -> Option<SocketAddr> {
        let any: IpAddr = match self.arguments.target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let first = self.arguments.first_port?;
        Some(SocketAddr::new(any, first.wrapping_add(number as u16)))
    }

    async fn open(&self, number: u64) -> Option<Connection> {
        let opened =
            Connection::open(&self.connector, self.arguments.target, self.source(number), self.patience);
        opened.await.map_err(|failure| self.fails(failure)).ok()
    }

    /// Asks who is at the other end, which counts as opened.
    async fn ask(&self, mut connection: Connection) -> Option<(Connection, String)> {
        let backend = self.begin(&mut connection).await.map_err(|failure| self.fails(failure)).ok()?;
        let mut report = self.report();
        report.opened += 1;
        report.requests += 1;
        *report.backends.entry(backend.clone()).or_default() += 1;
        Some((connection, backend))
    }

    /// The first request on a connection: who answers.
    async fn begin(&self, connection: &mut Connection) -> Result<String, Failure> {
        if self.arguments.watch {
            watch::begin(connection, self.patience).await
        } else {
            connection.whoami(false, self.patience).await
        }
    }

    async fn ask_and_hold(self: &Arc<Self>, connection: Connection, held: &mut JoinSet<()>) {
        if let Some((connection, backend)) = self.ask(connection).await {
            held.spawn(Arc::clone(self).hold(connection, backend));
        }
    }

    /// Holds a connection until the end, when it is asked once more; or until it breaks, and then the one that it is
    /// replaced by.
    async fn hold(self: Arc<Self>, mut connection: Connection, mut backend: String) {
        while let Some(why) = self.until_broken(&mut connection, &backend).await {
            let after_ms = self.begun.elapsed().as_millis() as u64;
            let broken =
                Broken { backend: backend.clone(), why: why.into(), after_ms, at_us: moment::now_us() };
            tell("broken", &broken);
            self.report().broken.push(broken);
            if !self.arguments.reconnect {
                return;
            }
            let Some((anew, to)) = self.open_again().await else { return };
            let reconnected = Reconnected { from: backend, to: to.clone(), at_us: moment::now_us() };
            tell("reconnected", &reconnected);
            self.report().reconnected.push(reconnected);
            (connection, backend) = (anew, to);
        }
        self.report().alive += 1;
    }

    /// How the connection broke; `None` when it answered to the end.
    async fn until_broken(&self, connection: &mut Connection, backend: &str) -> Option<&'static str> {
        if self.arguments.watch {
            return watch::follow(connection, backend, self.patience, &self.stop).await;
        }
        loop {
            let mut last = false;
            tokio::select! {
                broken = self.listen(connection) => if broken.is_some() { return broken },
                () = stop::asked(self.stop.clone()) => last = true,
            }
            match connection.whoami(last, self.patience).await {
                Ok(answer) if answer != backend => return Some("another"),
                Ok(_) => self.report().requests += 1,
                Err(failure) => return Some(failure.how()),
            }
            if last {
                return None;
            }
            if connection.last {
                return Some("ended");
            }
        }
    }

    /// Another connection in place of one that broke, tried until the end is asked for; each try that fails is counted.
    async fn open_again(&self) -> Option<(Connection, String)> {
        while !*self.stop.borrow() {
            let begun_us = moment::now_us();
            match self.try_again().await {
                Ok(anew) => return Some(anew),
                Err(failure) => {
                    self.fails(failure);
                    self.report().tries_failed_us.push(begun_us);
                }
            }
            tokio::select! {
                () = sleep(REST) => {}
                () = stop::asked(self.stop.clone()) => {}
            }
        }
        None
    }

    async fn try_again(&self) -> Result<(Connection, String), Failure> {
        let mut connection =
            Connection::open(&self.connector, self.arguments.target, None, self.patience).await?;
        let backend = self.begin(&mut connection).await?;
        Ok((connection, backend))
    }

    /// Silence until the next request is due, or for ever; something else is how it broke.
    async fn listen(&self, connection: &mut Connection) -> Option<&'static str> {
        let read = async {
            match connection.reader.body(&mut connection.stream, 1).await {
                Ok(nothing) if nothing.is_empty() => in_a_word(&io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => "nonsense",
                Err(error) => in_a_word(&error),
            }
        };
        if self.interval.is_zero() {
            return Some(read.await);
        }
        tokio::select! {
            why = read => Some(why),
            () = sleep(self.interval) => None,
        }
    }
}
