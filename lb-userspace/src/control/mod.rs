//! The API over the Unix socket: types, server, client.
//!
//! HTTP/1.1 with JSON, one request a connection; every path and field is in `docs/api.md`, which a test holds
//! against [`types`]. The server owns no state: it turns each request into a [`Command`] for the agent's one
//! task and waits for the answer. Who may open the socket (mode 0660) may do everything.

mod client;
mod command;
mod head;
mod ndjson;
mod query;
mod routes;
mod server;
mod socket;
pub mod types;

pub use client::{AgentProcess, Client, ClientError, Lines};
pub use command::{Chunk, Chunks, Command, Reply};
pub use server::Server;
pub use socket::BindError;

#[cfg(test)]
mod tests;
