//! One connection of a client: TCP, TLS, requests; and what went wrong, in few words that can be counted.

use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    http::{Head, Reader},
    tcp_info,
};

/// What failed and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    step: &'static str,
    how: &'static str,
}

impl Failure {
    pub(crate) fn new(step: &'static str, how: &'static str) -> Self {
        Self { step, how }
    }

    pub(crate) fn how(self) -> &'static str {
        self.how
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.step, self.how)
    }
}

/// An established TLS connection.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) reader: Reader,
    /// How long the TCP connect took.
    pub(crate) connect: Duration,
    /// How often its SYN was sent again.
    pub(crate) syns_again: u32,
    /// The server has said that it answers nothing more on it.
    pub(crate) last: bool,
}

/// Waits for a step at most so long.
pub(crate) async fn step<T>(
    name: &'static str,
    patience: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Failure> {
    match timeout(patience, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failure { step: name, how: in_a_word(&error) }),
        Err(_) => Err(Failure { step: name, how: "timeout" }),
    }
}

pub(crate) fn in_a_word(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
        io::ErrorKind::TimedOut => "timeout",
        io::ErrorKind::UnexpectedEof => "closed",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => "out of ports",
        io::ErrorKind::InvalidData => "nonsense",
        _ => "error",
    }
}

impl Connection {
    pub(crate) async fn open(
        connector: &TlsConnector,
        target: SocketAddr,
        source: Option<SocketAddr>,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let begun = Instant::now();
        let stream = step("connect", patience, connect(target, source)).await?;
        let connect = begun.elapsed();
        let syns_again = tcp_info::retransmitted(&stream).map_err(|_| Failure::new("connect", "unknown"))?;
        let name = rustls::pki_types::ServerName::IpAddress(target.ip().into());
        let stream = step("tls", patience, connector.connect(name, stream)).await?;
        Ok(Self { stream, reader: Reader::new(), connect, syns_again, last: false })
    }

    /// Sends a GET and reads the head of its answer.
    pub(crate) async fn get(&mut self, path: &str, last: bool, patience: Duration) -> Result<Head, Failure> {
        let close = if last { "connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nhost: lab\r\n{close}\r\n");
        step("http", patience, async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await?;
            self.reader.head(&mut self.stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
        .await
    }

    /// Asks who answers and reads the answer to its end; gives the server's name.
    pub(crate) async fn whoami(&mut self, last: bool, patience: Duration) -> Result<String, Failure> {
        let head = self.get("/whoami", last, patience).await?;
        self.last = head.closes();
        step("http", patience, self.skip_body(head.content_length())).await?;
        Ok(server_of(&head))
    }

    async fn skip_body(&mut self, mut left: u64) -> io::Result<()> {
        while left > 0 {
            let part = self.reader.body(&mut self.stream, left).await?;
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= part.len() as u64;
        }
        Ok(())
    }
}

/// Who sent this answer.
pub(crate) fn server_of(head: &Head) -> String {
    head.header("x-server").unwrap_or("nobody").to_owned()
}

async fn connect(target: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(source)?;
    }
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
