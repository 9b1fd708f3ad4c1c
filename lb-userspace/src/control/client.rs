//! The client: typed requests over the Unix socket, one connection each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::routes::ANSWER_TIMEOUT;
use super::types::{
    ApiError, Backend, BackendAdd, BackendName, BackendRemove, BackendState, BackendWeight, Counters, Detach,
    Done, Event, EventFilter, Flow, FlowFilter, Ready, Status,
};

mod error;
mod exchange;
mod lines;
mod process;

pub use error::ClientError;
use exchange::Exchange;
pub use lines::Lines;
pub use process::AgentProcess;

/// Some hundred services of some hundred backends; what is longer comes as [`Lines`].
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// The agent's own limit, and a little for the way.
const TIMEOUT: Duration = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(2));

/// A client of one agent.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the agent behind this socket; nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket it asks on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `status`.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// `ready`.
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.get("/v1/ready").await
    }

    /// `counters`.
    pub async fn counters(&self) -> Result<Counters, ClientError> {
        self.get("/v1/counters").await
    }

    /// `backend list`.
    pub async fn backends(&self) -> Result<Vec<Backend>, ClientError> {
        self.get("/v1/backends").await
    }

    /// `backend add`.
    pub async fn backend_add(&self, request: &BackendAdd) -> Result<Done, ClientError> {
        self.post("/v1/backends/add", request).await
    }

    /// `backend remove`.
    pub async fn backend_remove(&self, request: &BackendRemove) -> Result<Done, ClientError> {
        self.post("/v1/backends/remove", request).await
    }

    /// `backend enable`, `drain` and `disable`.
    pub async fn backend_state(&self, request: &BackendState) -> Result<Done, ClientError> {
        self.post("/v1/backends/state", request).await
    }

    /// `backend weight`.
    pub async fn backend_weight(&self, request: &BackendWeight) -> Result<Done, ClientError> {
        self.post("/v1/backends/weight", request).await
    }

    /// `drain --wait`: returns when the backend holds no flow, `None` when that took longer than `limit`.
    pub async fn backend_idle(
        &self,
        name: &str,
        limit: Option<Duration>,
    ) -> Result<Option<Done>, ClientError> {
        let body = encode(&BackendName { name: name.to_owned() })?;
        let asked = async {
            let exchange = self.send(Method::POST, "/v1/backends/idle", body).await?;
            self.decode(exchange).await
        };
        match limit {
            None => asked.await.map(Some),
            Some(limit) => timeout(limit, asked).await.ok().transpose(),
        }
    }

    /// `flows`, as they come.
    pub async fn flows(&self, filter: &FlowFilter) -> Result<Lines<Flow>, ClientError> {
        let mut query = Vec::new();
        query.extend(filter.backend.as_ref().map(|name| format!("backend={}", percent_encoded(name))));
        query.extend(filter.client.map(|client| format!("client={}", percent_encoded(&client.to_string()))));
        query.extend(filter.snat.map(|snat| format!("snat={}", percent_encoded(&snat.to_string()))));
        self.lines(&format!("/v1/flows?{}", query.join("&"))).await
    }

    /// `flows reset`.
    pub async fn flows_reset(&self, filter: &FlowFilter) -> Result<Done, ClientError> {
        self.post("/v1/flows/reset", filter).await
    }

    /// `events`, as they come.
    pub async fn events(&self, filter: &EventFilter) -> Result<Lines<Event>, ClientError> {
        self.lines(&format!("/v1/events?follow={}", filter.follow)).await
    }

    /// `reload`.
    pub async fn reload(&self) -> Result<Done, ClientError> {
        self.post("/v1/reload", &()).await
    }

    /// `detach`.
    pub async fn detach(&self, request: &Detach) -> Result<Done, ClientError> {
        self.post("/v1/detach", request).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, encode(request)?).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let asked = async { self.decode(self.send(method, path, body).await?).await };
        timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err(ClientError::TimedOut(self.socket.clone())))
    }

    async fn lines<T>(&self, path: &str) -> Result<Lines<T>, ClientError> {
        let asked = timeout(TIMEOUT, self.send(Method::GET, path, Bytes::new())).await;
        let exchange = asked.unwrap_or_else(|_| Err(ClientError::TimedOut(self.socket.clone())))?;
        Ok(Lines::new(self.socket.clone(), exchange))
    }

    /// Sends one request; an answer that is not 2xx is an error already.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Exchange, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| ClientError::connecting(&self.socket, &error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        let driver = exchange::Driver::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "xdplb")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| self.broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        let exchange = Exchange::new(response, driver);
        if exchange.status.is_success() { Ok(exchange) } else { Err(self.refused(exchange).await) }
    }

    async fn decode<T: DeserializeOwned>(&self, exchange: Exchange) -> Result<T, ClientError> {
        let bytes = collect(exchange.body).await.map_err(|reason| self.broken(&reason))?;
        serde_json::from_slice(&bytes).map_err(|error| self.broken(&error))
    }

    async fn refused(&self, exchange: Exchange) -> ClientError {
        let status = exchange.status;
        match collect(exchange.body).await.map(|bytes| serde_json::from_slice::<ApiError>(&bytes)) {
            Ok(Ok(said)) => ClientError::Refused(ApiError::new(status, said.error)),
            _ => self.broken(&format!("status {status} without a reason")),
        }
    }

    fn broken(&self, reason: &dyn ToString) -> ClientError {
        ClientError::broken(&self.socket, reason)
    }
}

fn encode(request: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(request).map(Bytes::from).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("cannot write the request: {error}")).into()
    })
}

async fn collect(body: Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Limited::new(body, MAX_ANSWER_BYTES).collect().await.map(http_body_util::Collected::to_bytes)
}

/// RFC 3986, section 2.1: everything but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
