//! From path to command and back.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::command::{Chunks, Command, Reply};
use super::ndjson::{self, Patience};
use super::query::{Body, Filter};
use super::types::{ApiError, Done};

/// Resetting a million flows takes seconds; an agent that needs longer than this is stuck.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Every path, with the method it takes; `docs/api.md` has each of them.
pub(super) const PATHS: &[(&str, &str)] = &[
    ("GET", "/v1/status"),
    ("GET", "/v1/ready"),
    ("GET", "/v1/counters"),
    ("GET", "/v1/backends"),
    ("POST", "/v1/backends/add"),
    ("POST", "/v1/backends/remove"),
    ("POST", "/v1/backends/state"),
    ("POST", "/v1/backends/weight"),
    ("POST", "/v1/backends/idle"),
    ("GET", "/v1/flows"),
    ("POST", "/v1/flows/reset"),
    ("GET", "/v1/events"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/detach"),
];

/// The way to the agent's one task.
#[derive(Clone)]
struct Agent(mpsc::Sender<Command>);

type Answer<T> = Result<Json<T>, ApiError>;
type Changed = Answer<Done>;

impl Agent {
    /// Asks, and waits as long as it takes or the client stays.
    async fn ask_patiently<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || ApiError::unavailable("the agent is stopping: try again when it runs");
        self.0.send(command(reply)).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Asks, and waits as long as an agent may take that is not stuck.
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ApiError> {
        timeout(ANSWER_TIMEOUT, self.ask_patiently(command)).await.unwrap_or_else(|_| {
            Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "the agent has not answered for {} s and may still do what was asked: look at its log",
                    ANSWER_TIMEOUT.as_secs()
                ),
            ))
        })
    }

    async fn json<T>(self, command: impl FnOnce(Reply<T>) -> Command) -> Answer<T> {
        self.ask(command).await.map(Json)
    }

    async fn lines<T>(
        self,
        patience: Patience,
        command: impl FnOnce(Reply<Chunks<T>>) -> Command,
    ) -> Result<Response, ApiError>
    where
        T: Serialize + Send + 'static,
    {
        self.ask(command).await.map(|chunks| ndjson::response(chunks, patience))
    }
}

/// The whole API, over the channel to the agent's task.
pub(super) fn router(commands: mpsc::Sender<Command>) -> Router {
    type A = State<Agent>;
    Router::new()
        .route("/v1/status", get(|State(agent): A| agent.json(Command::Status)))
        .route("/v1/ready", get(|State(agent): A| agent.json(Command::Ready)))
        .route("/v1/counters", get(|State(agent): A| agent.json(Command::Counters)))
        .route("/v1/backends", get(|State(agent): A| agent.json(Command::Backends)))
        .route("/v1/backends/add", post(|State(a): A, Body(b)| changed(a, |r| Command::BackendAdd(b, r))))
        .route(
            "/v1/backends/remove",
            post(|State(a): A, Body(b)| changed(a, |r| Command::BackendRemove(b, r))),
        )
        .route("/v1/backends/state", post(|State(a): A, Body(b)| changed(a, |r| Command::BackendState(b, r))))
        .route(
            "/v1/backends/weight",
            post(|State(a): A, Body(b)| changed(a, |r| Command::BackendWeight(b, r))),
        )
        .route(
            "/v1/backends/idle",
            post(|State(a): A, Body(b)| async move {
                a.ask_patiently(|r| Command::BackendIdle(b, r)).await.map(Json)
            }),
        )
        .route("/v1/flows", get(|State(a): A, Filter(f)| a.lines(Patience::Some, |r| Command::Flows(f, r))))
        .route("/v1/flows/reset", post(|State(a): A, Body(b)| changed(a, |r| Command::FlowsReset(b, r))))
        .route(
            "/v1/events",
            get(|State(a): A, Filter(f)| a.lines(Patience::Endless, |r| Command::Events(f, r))),
        )
        .route("/v1/reload", post(|State(agent): A| changed(agent, Command::Reload)))
        .route("/v1/detach", post(|State(a): A, Body(b)| changed(a, |r| Command::Detach(b, r))))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Agent(commands))
}

/// A change is asked for; a refusal is noted in the log, whoever asked.
async fn changed(agent: Agent, command: impl FnOnce(Reply<Done>) -> Command) -> Changed {
    let answer = agent.json(command).await;
    match &answer {
        // What has changed is an event, and a line of the log by that.
        Ok(Json(done)) => log::debug!("control: {}", done.message),
        Err(error) => log::warn!("control: refused: {error}"),
    }
    answer
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no {}: docs/api.md has every path", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let right = PATHS.iter().find(|(_, path)| *path == uri.path()).map_or("GET", |(method, _)| method);
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}: send {right}", uri.path()),
    )
}
