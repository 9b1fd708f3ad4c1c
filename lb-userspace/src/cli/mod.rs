//! Arguments, and what a person sees of each command.
//!
//! Exit codes: 0 done, 1 refused or failed (one line on standard error), 2 usage, 3 answered from the pinned maps because
//! no agent runs.

pub mod args;
mod commands;
mod decap;
mod flow_printer;
mod k0s_config;
mod offline;

use std::{io::Write as _, process::ExitCode};

use env_logger::Env;

use self::args::{CheckArgs, Cli, Command, GlobalArgs, RunArgs};
use crate::{
    agent,
    config::{Config, ConfigFile, Overrides, render},
};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// What was asked is done.
    Done,
    /// It was refused, and nothing is to be said.
    Refused,
    /// It was answered from the pinned maps.
    Offline,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Refused => Self::from(1),
            Exit::Offline => Self::from(3),
        }
    }
}

/// Carries out a command line.
pub fn execute(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run(run) => run_agent(&cli.global, &run),
        Command::Check(check) => self::check(&check),
        Command::K0sConfig(arguments) => Ok(k0s_config::print(arguments)),
        Command::Decap(arguments) => asynchronous(decap::execute(cli.global, arguments)),
        other => asynchronous(commands::execute(cli.global, other)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let _unheard = writeln!(std::io::stderr(), "xdplb: {}", one_line(&error));
            ExitCode::from(1)
        }
    }
}

/// Writes to standard output. A reader that has seen enough, as `head` has, ends the command.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    let _unheard = writeln!(std::io::stderr(), "xdplb: standard output cannot be written: {error}");
    std::process::exit(1);
}

/// An error with its causes, in one line, each once.
fn one_line(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if words.contains(&cause) {
            continue;
        }
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&cause);
    }
    words.replace('\n', " ")
}

fn asynchronous(future: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn run_agent(global: &GlobalArgs, run: &RunArgs) -> anyhow::Result<Exit> {
    env_logger::Builder::from_env(Env::default().default_filter_or("info")).format_target(false).init();
    let options = agent::Options {
        config: run.config.clone(),
        overrides: run.overrides(),
        socket: global.socket.clone(),
        pin_dir: global.pin_dir.clone(),
        detach_on_exit: run.detach_on_exit,
        discard_flows: run.discard_flows,
    };
    asynchronous(async {
        Box::pin(agent::run(options)).await?;
        Ok(Exit::Done)
    })
}

/// Validates a configuration, on this host too, and prints it with every default filled in.
fn check(check: &CheckArgs) -> anyhow::Result<Exit> {
    let config: Config = ConfigFile::load(&check.file)?.config(&Overrides::default())?;
    agent::kinds::Kinds::read(&config)?;
    asynchronous(async move {
        let host = agent::network::Network::open().await?.host_facts();
        let resolved = config.resolve(&host)?;
        put(&render::render(&config));
        for warning in &resolved.warnings {
            eprintln!("warning: {warning}");
        }
        for warning in port_warnings(&config) {
            eprintln!("warning: {warning}");
        }
        Ok(Exit::Done)
    })
}

/// What the host's own port ranges have to do with the SNAT ports.
fn port_warnings(config: &Config) -> Vec<String> {
    use crate::net::{PortRange, ephemeral_port_range, reserved_ports};
    let snat = config.snat_ports.value;
    let snat_range = PortRange { first: snat.first(), last: snat.last() };
    let mut warnings = Vec::new();
    if let Ok(ephemeral) = ephemeral_port_range()
        && ephemeral.overlaps(snat_range)
    {
        warnings.push(format!(
            "snat_ports {}-{} overlap the host's ephemeral ports {}-{}: set net.ipv4.ip_local_port_range elsewhere",
            snat.first(),
            snat.last(),
            ephemeral.first,
            ephemeral.last
        ));
    }
    for reserved in
        reserved_ports().unwrap_or_default().into_iter().filter(|range| range.overlaps(snat_range))
    {
        warnings.push(format!(
            "snat_ports {}-{} overlap the reserved ports {}-{} of net.ipv4.ip_local_reserved_ports",
            snat.first(),
            snat.last(),
            reserved.first,
            reserved.last
        ));
    }
    warnings
}
