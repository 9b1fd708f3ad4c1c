//! One request's connection, which lives as long as somebody reads its answer.

use axum::http::StatusCode;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The task that moves the bytes; dropping it hangs up, and the agent stops working on the answer.
#[derive(Debug)]
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    pub(super) fn spawn(connection: Connection<TokioIo<UnixStream>, Full<Bytes>>) -> Self {
        Self(tokio::spawn(async move {
            // What goes wrong here is seen by whoever reads the answer.
            let _ = connection.await;
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) status: StatusCode,
    pub(super) body: Incoming,
    pub(super) driver: Driver,
}

impl Exchange {
    pub(super) fn new(response: Response<Incoming>, driver: Driver) -> Self {
        Self { status: response.status(), body: response.into_body(), driver }
    }
}
