//! The end of a TLS connection: `close_notify`, then the other side's end, then nothing is left.
//!
//! It comes after the answer is known and adds nothing to it, so it is short and bounded: a server that does not close
//! gets a RST. But it is waited for, because a client that leaves before makes some servers log a broken connection, and
//! because the tickets for the next session come last.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout_at};
use tokio_rustls::client::TlsStream;

/// How long the other side may take to close.
const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes that are read and thrown away on the way to the end: a `/readyz?verbose` is 3 kB.
const MAX_BYTES: usize = 64 * 1024;

/// What a probe's connection is over.
pub(super) type Stream = TokioIo<TlsStream<TcpStream>>;

/// What of a probe is still open.
pub(super) enum Closing {
    /// A handshake, and nothing was said.
    Tls(Box<TlsStream<TcpStream>>),
    /// An answer of which the head was read.
    Https(Box<Https>),
}

/// A connection with the rest of an answer in it.
pub(super) struct Https {
    pub(super) connection: Connection<Stream, Empty<Bytes>>,
    pub(super) body: Incoming,
    /// Whether the connection has come to its end.
    pub(super) over: bool,
}

impl Closing {
    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }

    /// Closes, as long as there is time. The time-out of the probe covers this too.
    pub(super) async fn close(self, deadline: Deadline) {
        let deadline = deadline.min(Deadline::now() + PATIENCE);
        let close = async {
            match self {
                Self::Tls(stream) => end(*stream).await,
                Self::Https(mut https) => {
                    if https.drain().await {
                        end(https.connection.into_parts().io.into_inner()).await;
                    }
                }
            }
        };
        // What is not closed by then is reset when it is dropped.
        let _in_time = timeout_at(deadline, close).await;
    }
}

impl Https {
    /// Reads the body to its end. False when it is longer than anybody needs.
    async fn drain(&mut self) -> bool {
        let mut left = MAX_BYTES;
        poll_fn(|context| {
            self.drive(context);
            loop {
                match Pin::new(&mut self.body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let length = frame.data_ref().map_or(0, Bytes::len);
                        let Some(rest) = left.checked_sub(length) else { return Poll::Ready(false) };
                        left = rest;
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => return Poll::Pending,
                }
                self.drive(context);
            }
        })
        .await
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if !self.over {
            self.over = self.connection.poll_without_shutdown(context).is_ready();
        }
    }
}

/// Says goodbye and reads until the other side has closed.
async fn end(mut stream: TlsStream<TcpStream>) {
    stream.get_mut().1.send_close_notify();
    if stream.flush().await.is_err() {
        return;
    }
    let (mut left, mut buffer) = (MAX_BYTES, [0; 2048]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}
