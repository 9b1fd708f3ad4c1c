//! Long answers: one JSON object a line, written as they come, so that a million flows need kilobytes.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::command::{Chunk, Chunks};

/// Chunks under way between the relay and the socket.
const CHUNKS_UNDER_WAY: usize = 2;
/// A client that has not read for so long has its answer cut: what fills the chunks holds kernel tables open.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What the relay hands to the body. An answer that ends without `End` is cut, and the client sees that it was.
enum Piece {
    Lines(Vec<u8>),
    End,
}

/// How long a client may leave unread what is there to read.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// [`STALL_TIMEOUT`].
    Some,
    /// As long as it stays connected: nothing is held open for it, and it may be a person who reads page by page.
    Endless,
}

/// The answer that writes what `chunks` brings.
pub(super) fn response<T: Serialize + Send + 'static>(chunks: Chunks<T>, patience: Patience) -> Response {
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    tokio::spawn(relay(chunks, Relay { sender, patience }));
    let body = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Lines(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the answer was cut short")), None)),
        }
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

/// Where the pieces go.
struct Relay {
    sender: mpsc::Sender<Piece>,
    patience: Patience,
}

impl Relay {
    /// Whether the piece was taken.
    async fn send(&self, piece: Piece) -> bool {
        match self.patience {
            Patience::Some => self.sender.send_timeout(piece, STALL_TIMEOUT).await.is_ok(),
            Patience::Endless => self.sender.send(piece).await.is_ok(),
        }
    }
}

async fn relay<T: Serialize>(mut chunks: Chunks<T>, relay: Relay) {
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            () = relay.sender.closed() => return,
        };
        let Some(chunk) = chunk else { break };
        let last = chunk.is_err();
        let Ok(bytes) = lines(&chunk) else { return };
        if !relay.send(Piece::Lines(bytes)).await {
            return;
        }
        if last {
            break;
        }
    }
    // The client may have gone; then nobody needs to know that this was all.
    let _ = relay.send(Piece::End).await;
}

fn lines<T: Serialize>(chunk: &Chunk<T>) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match chunk {
        Ok(items) => {
            for item in items {
                serde_json::to_writer(&mut bytes, item)?;
                bytes.push(b'\n');
            }
        }
        Err(error) => {
            serde_json::to_writer(&mut bytes, error)?;
            bytes.push(b'\n');
        }
    }
    Ok(bytes)
}
