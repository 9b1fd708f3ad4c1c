//! When a client is to end: SIGTERM, Ctrl-C, or its starter closes stdin.

use std::{io::Read, thread};

use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Becomes true when the end is asked for; clones wait for the same end.
pub(crate) type Stop = watch::Receiver<bool>;

/// Begins to listen.
pub(crate) fn listen(until_stdin_closes: bool) -> Result<Stop> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let by_signal = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        by_signal.send_replace(true);
    });
    if until_stdin_closes {
        thread::spawn(move || {
            let mut sink = [0; 64];
            while matches!(std::io::stdin().read(&mut sink), Ok(1..)) {}
            sender.send_replace(true);
        });
    }
    Ok(receiver)
}

/// Waits for the end.
pub(crate) async fn asked(mut stop: Stop) {
    // The sender lives in a task that ends only after it sent.
    let _ = stop.wait_for(|asked| *asked).await;
}
