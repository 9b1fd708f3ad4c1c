//! `lab-node server`: stands for a controller.
//!
//! | path | answer |
//! | --- | --- |
//! | `/whoami` | its name and the peer's address as it sees it |
//! | `/stream?seconds=N` | a slow download whose every byte can be checked |
//! | `/readyz` | `ok`, or the status that `/set-readyz?status=N` set |
//!
//! With `--drain-ms` it goes as a controller does: on SIGTERM `/readyz` turns to 500, and it serves on for so long.
//!
//! Plain TCP besides: echo ports give back what they get, push ports talk while the client is silent.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{http, stop, tls};

/// A download sends a block this often.
const BLOCK_INTERVAL: Duration = Duration::from_millis(20);
/// Blocks a second of a download.
const BLOCKS_A_SECOND: u64 = 50;
/// The bytes of a block: about a frame.
const BLOCK: u64 = 1400;
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

struct Server {
    name: String,
    readyz: AtomicU16,
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
    let server = Arc::new(Server {
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
    tokio::time::sleep(drain).await;
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
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Server {
    /// One connection to its end. That a client goes is no news.
    async fn serve(self: Arc<Self>, mut stream: TcpStream, peer: SocketAddr, kind: Kind) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let _ = stream.set_nodelay(true);
        let _ = match kind {
            Kind::Tls => match self.acceptor.accept(stream).await {
                Ok(stream) => self.speak_http(stream, peer).await,
                Err(error) => Err(error.into()),
            },
            Kind::Echo => echo(&mut stream).await,
            Kind::Push => self.push(&mut stream).await,
        };
    }

    async fn speak_http(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
    ) -> Result<()> {
        let mut reader = http::Reader::new();
        while let Some(request) = reader.head(&mut stream).await? {
            let target = request.target();
            match target.split('?').next().unwrap_or_default() {
                "/whoami" => {
                    let body = serde_json::json!({"name": self.name, "peer": peer.to_string()});
                    self.answer(&mut stream, 200, &body.to_string()).await?;
                }
                "/readyz" => {
                    let status = self.readyz.load(Ordering::Relaxed);
                    self.answer(&mut stream, status, if status == 200 { "ok" } else { "not ok" }).await?;
                }
                "/set-readyz" => {
                    let status = http::query(target, "status").and_then(|status| status.parse().ok());
                    self.readyz.store(status.unwrap_or(200), Ordering::Relaxed);
                    self.answer(&mut stream, 200, "set").await?;
                }
                "/stream" => {
                    let seconds = http::query(target, "seconds").and_then(|seconds| seconds.parse().ok());
                    self.stream(&mut stream, seconds.unwrap_or(1)).await?;
                }
                _ => self.answer(&mut stream, 404, "try /whoami").await?,
            }
            if request.closes() {
                break;
            }
        }
        stream.shutdown().await?;
        Ok(())
    }

    fn head(&self, status: u16, length: u64) -> String {
        format!("HTTP/1.1 {status} -\r\nx-server: {}\r\ncontent-length: {length}\r\n\r\n", self.name)
    }

    async fn answer(&self, stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &str) -> Result<()> {
        let message = self.head(status, body.len() as u64) + body;
        stream.write_all(message.as_bytes()).await?;
        Ok(stream.flush().await?)
    }

    async fn stream(&self, stream: &mut (impl AsyncWrite + Unpin), seconds: u64) -> Result<()> {
        let blocks = seconds * BLOCKS_A_SECOND;
        stream.write_all(self.head(200, blocks * BLOCK).as_bytes()).await?;
        let mut clock = tokio::time::interval(BLOCK_INTERVAL);
        for block in 0..blocks {
            clock.tick().await;
            let bytes: Vec<u8> = (block * BLOCK..(block + 1) * BLOCK).map(crate::fetch::byte_at).collect();
            stream.write_all(&bytes).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    async fn push(&self, stream: &mut TcpStream) -> Result<()> {
        let mut clock = tokio::time::interval(PUSH_INTERVAL);
        for line in 0_u64.. {
            clock.tick().await;
            stream.write_all(format!("{} {line}\n", self.name).as_bytes()).await?;
        }
        Ok(())
    }
}

async fn echo(stream: &mut TcpStream) -> Result<()> {
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}
