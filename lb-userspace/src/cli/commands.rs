//! The client commands: asked of the agent, or answered from the pinned maps where no agent runs.

use std::time::Duration;

use serde::Serialize;

use super::{
    Exit,
    args::{
        BackendCommand, Command, EventsArgs, FlowFilter as FilterArgs, FlowsArgs, FlowsCommand, GlobalArgs,
    },
    offline::Offline,
};
use crate::{
    control::{
        Client, ClientError, Lines,
        types::{
            Admin, BackendAdd, BackendRemove, BackendState, BackendWeight, Done, Event, EventFilter, Flow,
            FlowFilter,
        },
    },
    view::{self, FlowTable, Style},
};

/// Carries out a client command.
pub(super) async fn execute(global: GlobalArgs, command: Command) -> anyhow::Result<Exit> {
    let session = Session { client: Client::new(&global.socket), global };
    match command {
        Command::Status(args) => session.status(args.json).await,
        Command::Backend(BackendCommand::List(args)) => session.backends(args.json).await,
        Command::Backend(command) => session.edit(command).await,
        Command::Flows(args) => session.flows(args).await,
        Command::Counters(args) => session.counters(args.json).await,
        Command::Events(args) => session.events(args).await,
        Command::Ready => session.ready().await,
        Command::Reload => session.say(session.client.reload().await),
        Command::Detach => session.detach().await,
        Command::Run(_) | Command::Check(_) => Ok(Exit::Refused),
    }
}

struct Session {
    client: Client,
    global: GlobalArgs,
}

/// An answer of the agent; `None` where no agent runs.
fn or_offline<T>(answer: Result<T, ClientError>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

impl Session {
    fn offline(&self) -> anyhow::Result<Offline> {
        Offline::open(&self.global.pin_dir, &self.global.socket)
    }

    async fn status(&self, json: bool) -> anyhow::Result<Exit> {
        let (status, exit) = match or_offline(self.client.status().await)? {
            Some(status) => (status, Exit::Done),
            None => (self.offline()?.status()?, Exit::Offline),
        };
        if json {
            print_json(&status)?;
        } else {
            print!("{}", view::status(&status, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn backends(&self, json: bool) -> anyhow::Result<Exit> {
        let (backends, exit) = match or_offline(self.client.backends().await)? {
            Some(backends) => (backends, Exit::Done),
            None => (self.offline()?.status()?.backends, Exit::Offline),
        };
        if json {
            print_json(&backends)?;
        } else {
            print!("{}", view::backends(&backends, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn counters(&self, json: bool) -> anyhow::Result<Exit> {
        let (counters, exit) = match or_offline(self.client.counters().await)? {
            Some(counters) => (counters, Exit::Done),
            None => (self.offline()?.counters(), Exit::Offline),
        };
        if json {
            print_json(&counters)?;
        } else {
            print!("{}", view::counters(&counters, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn flows(&self, args: FlowsArgs) -> anyhow::Result<Exit> {
        let FilterArgs { backend, client, snat } = args.filter;
        let filter = FlowFilter { backend, client, snat };
        if let Some(FlowsCommand::Reset) = args.command {
            return match or_offline(self.client.flows_reset(&filter).await)? {
                Some(done) => self.say(Ok(done)),
                None => {
                    println!("{}", self.offline()?.reset_flows(&filter)?);
                    Ok(Exit::Offline)
                }
            };
        }
        let mut printer = FlowPrinter::new(args.json);
        let exit = match or_offline(self.client.flows(&filter).await)? {
            Some(lines) => {
                print_all(lines, |flows: &[Flow]| printer.rows(flows)).await?;
                Exit::Done
            }
            None => {
                self.offline()?.flows(&filter, |flows| printer.rows(&flows).is_ok())?;
                Exit::Offline
            }
        };
        printer.end();
        Ok(exit)
    }

    async fn events(&self, args: EventsArgs) -> anyhow::Result<Exit> {
        let mut lines = self.client.events(&EventFilter { follow: args.follow }).await?;
        while let Some(events) = lines.next().await? {
            if args.json {
                events.iter().try_for_each(|event: &Event| {
                    anyhow::Ok(println!("{}", serde_json::to_string(event)?))
                })?;
            } else {
                print!("{}", view::events(&events, &Style::stdout()));
            }
        }
        Ok(Exit::Done)
    }

    async fn ready(&self) -> anyhow::Result<Exit> {
        let Some(ready) = or_offline(self.client.ready().await)? else {
            println!("{}", self.offline()?.readiness());
            return Ok(Exit::Offline);
        };
        print!("{}", view::ready(&ready, &Style::stdout()));
        Ok(if ready.ready { Exit::Done } else { Exit::Refused })
    }

    async fn detach(&self) -> anyhow::Result<Exit> {
        match or_offline(self.client.detach().await)? {
            Some(done) => self.say(Ok(done)),
            None => {
                println!("{}", Offline::detach(&self.global.pin_dir)?);
                Ok(Exit::Done)
            }
        }
    }

    async fn edit(&self, command: BackendCommand) -> anyhow::Result<Exit> {
        let client = &self.client;
        match command {
            BackendCommand::Add { backend, weight, edit } => {
                let request = BackendAdd {
                    name: Some(backend.name),
                    address: backend.address,
                    weight: weight.map(u32::from),
                    runtime: edit.runtime,
                };
                self.say(client.backend_add(&request).await)
            }
            BackendCommand::Remove { name, now, edit } => {
                self.say(client.backend_remove(&BackendRemove { name, now, runtime: edit.runtime }).await)
            }
            BackendCommand::Drain { name, wait, edit } => self.drain(name, wait, edit.runtime).await,
            BackendCommand::Disable { name, edit } => self.set(name, Admin::Disabled, edit.runtime).await,
            BackendCommand::Enable { name, edit } => self.set(name, Admin::Enabled, edit.runtime).await,
            BackendCommand::Weight { name, weight, edit } => {
                let request = BackendWeight { name, weight: weight.into(), runtime: edit.runtime };
                self.say(client.backend_weight(&request).await)
            }
            BackendCommand::List(args) => self.backends(args.json).await,
        }
    }

    async fn set(&self, name: String, state: Admin, runtime: bool) -> anyhow::Result<Exit> {
        self.say(self.client.backend_state(&BackendState { name, state, runtime }).await)
    }

    /// Drains, and waits for the flows to end if that was asked.
    async fn drain(
        &self,
        name: String,
        wait: Option<Option<Duration>>,
        runtime: bool,
    ) -> anyhow::Result<Exit> {
        self.set(name.clone(), Admin::Draining, runtime).await?;
        let Some(limit) = wait else { return Ok(Exit::Done) };
        match self.client.backend_idle(&name, limit).await? {
            Some(done) => self.say(Ok(done)),
            None => anyhow::bail!(
                "{name} still holds flows after {}: wait longer, or end them with `xdplb flows reset --backend {name}`",
                humantime::format_duration(limit.unwrap_or_default())
            ),
        }
    }

    /// Prints what was done.
    #[expect(clippy::unused_self, reason = "reads as the other commands")]
    fn say(&self, done: Result<Done, ClientError>) -> anyhow::Result<Exit> {
        print!("{}", view::done(&done?, &Style::stdout()));
        Ok(Exit::Done)
    }
}

async fn print_all<T: serde::de::DeserializeOwned>(
    mut lines: Lines<T>,
    mut print: impl FnMut(&[T]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    while let Some(items) = lines.next().await? {
        print(&items)?;
    }
    Ok(())
}

/// Prints flows as they come, as a table or as one JSON array.
struct FlowPrinter {
    table: Option<FlowTable>,
    first: bool,
}

impl FlowPrinter {
    fn new(json: bool) -> Self {
        if json {
            print!("[");
        }
        Self { table: (!json).then(|| FlowTable::new(&Style::stdout())), first: true }
    }

    fn rows(&mut self, flows: &[Flow]) -> anyhow::Result<()> {
        match &mut self.table {
            Some(table) => print!("{}", table.rows(flows)),
            None => {
                for flow in flows {
                    let comma = if std::mem::take(&mut self.first) { "" } else { "," };
                    print!("{comma}\n  {}", serde_json::to_string(flow)?);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        match &mut self.table {
            Some(table) => print!("{}", table.end()),
            None => println!("\n]"),
        }
    }
}
