//! `lab-node hold`: a few long-lived connections, and the moment when one breaks.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_tests::report::{Broken, HoldReport};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    client::{Connection, in_a_word},
    stop, tls,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The service.
    #[arg(long)]
    target: SocketAddr,
    /// How many; opened one after another.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// A request on each this often; 0 is silence.
    #[arg(long, default_value_t = 200)]
    interval_ms: u64,
    /// The address to connect from.
    #[arg(long)]
    source: Option<IpAddr>,
    /// How long an answer may take.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
    /// End when stdin closes.
    #[arg(long)]
    until_stdin_closes: bool,
}

struct Shared {
    report: Mutex<HoldReport>,
    begun: Instant,
    interval: Duration,
    patience: Duration,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = stop::listen(arguments.until_stdin_closes)?;
    let shared = Arc::new(Shared {
        report: Mutex::default(),
        begun: Instant::now(),
        interval: Duration::from_millis(arguments.interval_ms),
        patience: Duration::from_millis(arguments.timeout_ms),
    });
    let mut held = JoinSet::new();
    let work = async {
        open(&arguments, &shared, &mut held).await?;
        println!("ready {}", serde_json::to_string(&shared.report().backends)?);
        while held.join_next().await.is_some() {}
        // All broke; the report is still given only when it is asked for.
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        failed = work => failed?,
        () = stop::asked(stop) => {}
    }
    println!("report {}", serde_json::to_string(&*shared.report())?);
    Ok(())
}

async fn open(arguments: &Arguments, shared: &Arc<Shared>, held: &mut JoinSet<()>) -> Result<()> {
    let connector = tls::connector()?;
    for _ in 0..arguments.connections {
        let opened = async {
            let mut connection =
                Connection::open(&connector, arguments.target, arguments.source, shared.patience).await?;
            let backend = connection.whoami(false, shared.patience).await?;
            Ok::<_, crate::client::Failure>((connection, backend))
        };
        match opened.await {
            Ok((connection, backend)) => {
                let mut report = shared.report();
                report.opened += 1;
                report.requests += 1;
                *report.backends.entry(backend.clone()).or_default() += 1;
                held.spawn(Arc::clone(shared).hold(connection, backend));
            }
            Err(failure) => {
                *shared.report().failures.entry(failure.to_string()).or_default() += 1;
            }
        }
    }
    Ok(())
}

impl Shared {
    fn report(&self) -> std::sync::MutexGuard<'_, HoldReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a connection until it breaks, and tells so.
    async fn hold(self: Arc<Self>, mut connection: Connection, backend: String) {
        let why = loop {
            if let Some(why) = self.listen(&mut connection).await {
                break why;
            }
            match connection.whoami(false, self.patience).await {
                Ok(_) => self.report().requests += 1,
                Err(failure) => break failure.how(),
            }
        };
        let after_ms = self.begun.elapsed().as_millis() as u64;
        let broken = Broken { backend, why: why.into(), after_ms };
        if let Ok(line) = serde_json::to_string(&broken) {
            println!("broken {line}");
        }
        self.report().broken.push(broken);
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
