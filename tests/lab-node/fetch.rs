//! `lab-node fetch`: one request, its answer checked to the last byte.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_tests::report::FetchReport;

use crate::{
    client::{Connection, Failure, server_of, step},
    stop, tls,
};

/// How often the bytes so far are told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// A body up to this size is shown.
const SHORT: u64 = 4096;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The service.
    #[arg(long)]
    target: SocketAddr,
    /// What to get.
    #[arg(long, default_value = "/whoami")]
    path: String,
    /// The address to connect from.
    #[arg(long)]
    source: Option<IpAddr>,
    /// How long silence may last.
    #[arg(long, default_value_t = 20_000)]
    timeout_ms: u64,
    /// End early when stdin closes.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// What a download has at a position; sender and receiver agree on it.
pub(crate) fn byte_at(position: u64) -> u8 {
    // A prime, so that a segment that is lost, doubled or moved shows.
    b'a' + (position % 23) as u8
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let stop = stop::listen(arguments.until_stdin_closes)?;
    let begun = Instant::now();
    let mut report = FetchReport::default();
    let outcome = tokio::select! {
        outcome = fetch(&arguments, &mut report) => outcome.map_err(|failure| failure.to_string()),
        () = stop::asked(stop) => Err("asked to stop".into()),
    };
    match outcome {
        Err(why) => report.why = why,
        Ok(()) => report.ok = report.why.is_empty(),
    }
    report.elapsed_ms = begun.elapsed().as_millis() as u64;
    println!("report {}", serde_json::to_string(&report)?);
    Ok(())
}

async fn fetch(arguments: &Arguments, report: &mut FetchReport) -> Result<(), Failure> {
    let connector = tls::connector().map_err(|_| Failure::new("tls", "not configured"))?;
    let patience = Duration::from_millis(arguments.timeout_ms);
    let source = arguments.source.map(|address| SocketAddr::new(address, 0));
    let mut connection = Connection::open(&connector, arguments.target, source, patience).await?;
    let head = connection.get(&arguments.path, true, patience).await?;
    report.backend = server_of(&head);
    report.status = head.status();
    report.expected = head.content_length();
    println!("started {}", report.backend);

    let patterned = arguments.path.starts_with("/stream");
    let mut text = Vec::new();
    let mut told = Instant::now();
    while report.bytes < report.expected {
        let waiting = Instant::now();
        let left = report.expected - report.bytes;
        let part = step("body", patience, connection.reader.body(&mut connection.stream, left)).await?;
        report.longest_gap_ms = report.longest_gap_ms.max(waiting.elapsed().as_millis() as u64);
        if part.is_empty() {
            return Err(Failure::new("body", "closed"));
        }
        let wrong = |(offset, byte): (u64, &u8)| *byte != byte_at(report.bytes + offset);
        if patterned && (0..).zip(&part).any(wrong) {
            return Err(Failure::new("body", "garbled"));
        }
        if report.expected <= SHORT && !patterned {
            text.extend_from_slice(&part);
        }
        report.bytes += part.len() as u64;
        if told.elapsed() > PROGRESS_INTERVAL {
            told = Instant::now();
            println!("progress {}", report.bytes);
        }
    }
    report.text = String::from_utf8_lossy(&text).into_owned();
    Ok(())
}
