//! The servers and clients that run inside the laboratory's namespaces.

mod answers;
mod client;
mod fetch;
mod hold;
mod http;
mod load;
mod server;
mod stop;
mod tcp_info;
mod tls;
mod tunnel;
mod watch;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Servers and clients of the laboratory.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve TLS and say who answers.
    Server(server::Arguments),
    /// Make many short connections.
    Load(load::Arguments),
    /// Hold a few long connections.
    Hold(hold::Arguments),
    /// Make one request and check the answer to its last byte.
    Fetch(fetch::Arguments),
    /// Put what comes for an address into a tunnel.
    Tunnel(tunnel::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Server(arguments) => server::run(arguments).await,
        Command::Load(arguments) => load::run(arguments).await,
        Command::Hold(arguments) => hold::run(arguments).await,
        Command::Fetch(arguments) => fetch::run(arguments).await,
        Command::Tunnel(arguments) => tunnel::run(&arguments),
    }
}
