//! What the server answers over TLS, path by path; see `server` for the list.

use std::{io, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::interval,
};

use crate::{fetch, http, server::Server, stop};

/// A download sends a block this often.
const BLOCK_INTERVAL: Duration = Duration::from_millis(20);
/// Blocks a second of a download.
const BLOCKS_A_SECOND: u64 = 50;
/// The bytes of a block: about a frame.
const BLOCK: u64 = 1400;
/// A watch is told something this often.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

impl Server {
    /// Answers requests until one is the last.
    pub(crate) async fn speak_http(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
    ) -> io::Result<()> {
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
                "/watch" => {
                    self.watch(&mut stream).await?;
                    break;
                }
                _ => self.answer(&mut stream, 404, "try /whoami").await?,
            }
            if request.closes() || *self.goodbye.borrow() {
                break;
            }
        }
        stream.shutdown().await
    }

    fn head(&self, status: u16, headers: &str) -> String {
        let last = if *self.goodbye.borrow() { "connection: close\r\n" } else { "" };
        format!("HTTP/1.1 {status} -\r\nx-server: {}\r\n{last}{headers}\r\n", self.name)
    }

    async fn answer(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        status: u16,
        body: &str,
    ) -> io::Result<()> {
        let message = self.head(status, &format!("content-length: {}\r\n", body.len())) + body;
        stream.write_all(message.as_bytes()).await?;
        stream.flush().await
    }

    async fn stream(&self, stream: &mut (impl AsyncWrite + Unpin), seconds: u64) -> io::Result<()> {
        let blocks = seconds * BLOCKS_A_SECOND;
        let length = format!("content-length: {}\r\n", blocks * BLOCK);
        stream.write_all(self.head(200, &length).as_bytes()).await?;
        let mut clock = interval(BLOCK_INTERVAL);
        for block in 0..blocks {
            clock.tick().await;
            let bytes: Vec<u8> = (block * BLOCK..(block + 1) * BLOCK).map(fetch::byte_at).collect();
            stream.write_all(&bytes).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    /// Tells its name and a number, until the client goes or the server does. Nothing is expected of the client, but
    /// that its connection is gone shall be noticed at once.
    async fn watch(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(self.head(200, "").as_bytes()).await?;
        let mut clock = interval(WATCH_INTERVAL);
        let mut number = 0_u64;
        loop {
            tokio::select! {
                _ = clock.tick() => {
                    stream.write_all(format!("{} {number}\n", self.name).as_bytes()).await?;
                    stream.flush().await?;
                    number += 1;
                }
                read = stream.read_u8() => {
                    return read.map(|_| ()).or_else(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => Ok(()),
                        _ => Err(error),
                    });
                }
                () = stop::asked(self.goodbye.clone()) => return Ok(()),
            }
        }
    }
}
