//! `lab-node server`: stands for a controller.
//!
//! | path | answer |
//! | --- | --- |
//! | `/whoami` | its name and the peer's address as it sees it |
//! | `/stream?seconds=N` | a slow download whose every byte can be checked |
//! | `/watch` | a line twice a second for as long as the connection stands |
//! | `/readyz` | `ok`, or the status that `/set-readyz?status=N` set |
//!
//! With `--drain-ms` it goes as a controller does: on SIGTERM `/readyz` turns to 500, and it serves on for so long. In the
//! last two seconds of that each answer is the last on its connection, and watches end.
//!
//! It prints a line for each connection of a client that ended by a RST: `reset <peer>`.
//!
//! Plain TCP besides: echo ports give back what they get, push ports talk while the client is silent.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::{
    client::in_a_word,
    stop::{self, Stop},
    tls,
};

/// So long before its end a server that is drained asks its clients to go.
const GOODBYE: Duration = Duration::from_secs(2);
/// A push port sends a line this often.
const PUSH_INTERVAL: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What it calls itself.
    #[arg(long)]
    name: String,
    /// TLS ports.
    #[arg(long, value_delimiter = ',', default_value = "6443,8132,8133,9443")]
    ports: Vec<u16>,
    /// Plain TCP: gives back what it gets.
    #[arg(long, value_delimiter = ',')]
    echo_ports: Vec<u16>,
    /// Plain TCP: sends a line ten times a second.
    #[arg(long, value_delimiter = ',')]
    push_ports: Vec<u16>,
    /// The status of `/readyz`.
    #[arg(long, default_value_t = 200)]
    readyz: u16,
    /// Serve on for so long after SIGTERM, as one that is not ready (`--shutdown-delay-duration`).
    #[arg(long, default_value_t = 0)]
    drain_ms: u64,
}

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) readyz: AtomicU16,
    /// Becomes true when it is about to go.
    pub(crate) goodbye: Stop,
    acceptor: tokio_rustls::TlsAcceptor,
}

#[derive(Clone, Copy)]
enum Kind {
    Tls,
    Echo,
    Push,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let drain = Duration::from_millis(arguments.drain_ms);
    let (goodbye, server_goes) = watch::channel(false);
    let server = Arc::new(Server {
        goodbye: server_goes,
        acceptor: tls::acceptor(&arguments.name)?,
        name: arguments.name,
        readyz: AtomicU16::new(arguments.readyz),
    });
    let kinds = [
        (arguments.ports, Kind::Tls),
        (arguments.echo_ports, Kind::Echo),
        (arguments.push_ports, Kind::Push),
    ];
    for (ports, kind) in kinds {
        for port in ports {
            let everywhere = format!("[::]:{port}");
            let listener = TcpListener::bind(&everywhere)
                .await
                .with_context(|| format!("cannot listen on port {port}"))?;
            tokio::spawn(accept(Arc::clone(&server), listener, kind));
        }
    }
    println!("ready");
    stop::asked(stop::listen(false)?).await;
    server.readyz.store(500, Ordering::Relaxed);
    sleep(drain.saturating_sub(GOODBYE)).await;
    goodbye.send_replace(true);
    sleep(drain.min(GOODBYE)).await;
    Ok(())
}

async fn accept(server: Arc<Server>, listener: TcpListener, kind: Kind) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(Arc::clone(&server).serve(stream, peer, kind));
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Server {
    /// One connection to its end. That a client goes is no news, but for the way in which it is made to.
    async fn serve(self: Arc<Self>, mut stream: TcpStream, peer: SocketAddr, kind: Kind) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let _ = stream.set_nodelay(true);
        let end = match kind {
            Kind::Tls => match self.acceptor.accept(stream).await {
                Ok(stream) => self.speak_http(stream, peer).await,
                Err(error) => Err(error),
            },
            Kind::Echo => echo(&mut stream).await,
            Kind::Push => self.push(&mut stream).await,
        };
        if end.is_err_and(|error| in_a_word(&error) == "reset") {
            // A demo that was left running has nobody who reads.
            let _ = writeln!(io::stdout(), "reset {peer}");
        }
    }

    async fn push(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut clock = tokio::time::interval(PUSH_INTERVAL);
        for line in 0_u64.. {
            clock.tick().await;
            stream.write_all(format!("{} {line}\n", self.name).as_bytes()).await?;
        }
        Ok(())
    }
}

async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}
