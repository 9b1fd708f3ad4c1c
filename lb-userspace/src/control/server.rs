//! The server: one request a connection, bounded in every direction, and no state of its own.

use std::future::Future;
use std::io::Cursor;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::command::Command;
use super::socket::{self, BindError, SocketFile};
use super::types::ApiError;
use super::{head, routes};

/// More than every administrator, exporter and keepalived of a site at once; each costs some kilobytes.
const MAX_CONNECTIONS: usize = 256;
/// A head comes from the same machine in one write.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// What a stopping agent gives to answers under way, such as that of `detach` itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed accept (no file descriptors left, say), so as not to turn in circles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The control socket, open and not yet answering.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    file: SocketFile,
}

impl Server {
    /// Opens the socket at `path` with mode 0660, and makes its parent directory.
    ///
    /// # Errors
    ///
    /// When another agent answers there, something that is not a socket is there, or the system says no.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let (listener, file) = socket::bind(path).await?;
        Ok(Self { listener, file })
    }

    /// Answers until `stop` is done, lets answers under way finish for a moment, and removes the socket.
    pub async fn serve(self, commands: mpsc::Sender<Command>, stop: impl Future<Output = ()>) {
        let Self { listener, file } = self;
        let router = routes::router(commands);
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (stopping, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        log::warn!("control: cannot accept a connection ({error}): trying again");
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                Some(_) = connections.join_next() => continue,
                () = &mut stop => break,
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                connections.spawn(refuse(stream, too_many()));
                continue;
            };
            let (router, stopped) = (router.clone(), stopped.clone());
            connections.spawn(async move {
                let _permit = permit;
                answer(stream, router, stopped).await;
            });
        }
        // First the name goes, so that the next agent may start; then the last answers.
        drop(file);
        drop(listener);
        drop(stopping);
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, finished).await.is_err() {
            log::debug!("control: cutting the answers that did not finish");
        }
    }
}

/// Reads one request, answers it, and closes.
async fn answer(mut stream: UnixStream, router: Router, mut stopped: watch::Receiver<()>) {
    let read = tokio::select! {
        read = timeout(HEAD_TIMEOUT, head::read(&mut stream)) => read,
        _ = stopped.changed() => return,
    };
    let bytes = match read {
        Ok(Ok(Some(Ok(bytes)))) => bytes,
        Ok(Ok(Some(Err(error)))) => return refuse(stream, error).await,
        Ok(Ok(None) | Err(_)) => return,
        Err(_) => return refuse(stream, too_slow()).await,
    };
    note_change(&stream, &bytes);
    let (reader, writer) = stream.into_split();
    let io = TokioIo::new(tokio::io::join(Cursor::new(bytes).chain(reader), writer));
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        log::debug!("control: a client went away ({error})");
    }
}

/// Who changes something is noted: a mode of 0660 may mean more than one person.
fn note_change(stream: &UnixStream, head: &[u8]) {
    if let (Some(request), Ok(peer)) = (head.strip_prefix(b"POST "), stream.peer_cred()) {
        let path = request.split(|byte| *byte == b' ').next().unwrap_or_default();
        log::info!(
            "control: uid {} (pid {}) asks for {}",
            peer.uid(),
            peer.pid().map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
            String::from_utf8_lossy(path)
        );
    }
}

/// Says why not, in the same shape as any other refusal, and closes.
async fn refuse(mut stream: UnixStream, error: ApiError) {
    let body = serde_json::json!({ "error": error.error }).to_string();
    let status = error.status();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever sent garbage may well not read; nothing is lost then.
    let _ = timeout(HEAD_TIMEOUT, stream.write_all(text.as_bytes())).await;
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        format!("the request's head did not come within {} s: send it whole", HEAD_TIMEOUT.as_secs()),
    )
}

fn too_many() -> ApiError {
    ApiError::unavailable(format!(
        "{MAX_CONNECTIONS} clients are connected already: close some, such as `xdplb events --follow`"
    ))
}
