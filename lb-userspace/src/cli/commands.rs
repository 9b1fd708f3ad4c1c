//! The client commands: asked of the agent, or answered from the pinned maps where no agent runs.

use std::time::Duration;

use serde::Serialize;

use super::{
    Exit,
    args::{
        BackendCommand, Command, EventsArgs, FlowFilter as FilterArgs, FlowsArgs, FlowsCommand, GlobalArgs,
    },
    flow_printer::FlowPrinter,
    offline::Offline,
    put,
};
use crate::{
    control::{
        Client, ClientError, Lines,
        types::{
            Admin, BackendAdd, BackendRemove, BackendState, BackendWeight, Detach, Done, Event, EventFilter,
            FlowFilter,
        },
    },
    kernel::pins,
    view::{self, EventTable, Style},
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
        Command::Run(_) | Command::Check(_) | Command::K0sConfig(_) | Command::Decap(_) => Ok(Exit::Refused),
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

pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    put(&(serde_json::to_string_pretty(value)? + "\n"));
    Ok(())
}

/// One object a line.
fn json_lines(events: &[Event]) -> anyhow::Result<String> {
    let lines: Result<Vec<String>, _> = events.iter().map(serde_json::to_string).collect();
    Ok(lines?.into_iter().map(|line| line + "\n").collect())
}

impl Session {
    fn offline(&self) -> anyhow::Result<Offline> {
        Offline::open(&self.global.pin_dir, &self.global.socket)
    }

    /// The pinned state, after it was said that no agent answers.
    fn announced(&self) -> anyhow::Result<Offline> {
        let offline = self.offline()?;
        offline.announce();
        Ok(offline)
    }

    async fn status(&self, json: bool) -> anyhow::Result<Exit> {
        let (status, exit) = match or_offline(self.client.status().await)? {
            Some(status) => (status, Exit::Done),
            None => (self.offline()?.status()?, Exit::Offline),
        };
        if json {
            print_json(&status)?;
        } else {
            put(&view::status(&status, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn backends(&self, json: bool) -> anyhow::Result<Exit> {
        let (backends, exit) = match or_offline(self.client.backends().await)? {
            Some(backends) => (backends, Exit::Done),
            None => (self.announced()?.status()?.backends, Exit::Offline),
        };
        if json {
            print_json(&backends)?;
        } else {
            put(&view::backends(&backends, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn counters(&self, json: bool) -> anyhow::Result<Exit> {
        let (counters, exit) = match or_offline(self.client.counters().await)? {
            Some(counters) => (counters, Exit::Done),
            None => (self.announced()?.counters(), Exit::Offline),
        };
        if json {
            print_json(&counters)?;
        } else {
            put(&view::counters(&counters, &Style::stdout()));
        }
        Ok(exit)
    }

    async fn flows(&self, args: FlowsArgs) -> anyhow::Result<Exit> {
        let FilterArgs { backend, client, snat } = args.filter;
        let filter = FlowFilter { backend, client, snat };
        if let Some(FlowsCommand::Reset) = args.command {
            if let Some(done) = or_offline(self.client.flows_reset(&filter).await)? {
                return self.say(Ok(done));
            }
            put(&(self.announced()?.reset_flows(&filter)? + "\n"));
            return Ok(Exit::Offline);
        }
        let mut printer = FlowPrinter::new(args.json);
        let exit = if let Some(lines) = or_offline(self.client.flows(&filter).await)? {
            print_all(lines, |flows| printer.take(flows)).await?;
            Exit::Done
        } else {
            self.announced()?.flows(&filter, |flows| printer.take(flows).is_ok())?;
            Exit::Offline
        };
        printer.end()?;
        Ok(exit)
    }

    /// The events live in the agent: without one there are none to show.
    async fn events(&self, args: EventsArgs) -> anyhow::Result<Exit> {
        let asked = self.client.events(&EventFilter { follow: args.follow }).await;
        let Some(mut lines) = or_offline(asked)? else {
            anyhow::bail!(
                "the agent keeps the events, and none answers on {}: start it with `xdplb run`, or look at the log of \
                 the one that ran",
                self.global.socket.display()
            )
        };
        if !args.follow {
            let events = lines.all().await?;
            if args.json {
                print_json(&events)?;
            } else {
                put(&view::events(&events, &Style::stdout()));
            }
            return Ok(Exit::Done);
        }
        let mut table = EventTable::new(&Style::stdout());
        loop {
            let next = tokio::select! {
                next = lines.next() => next?,
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    return Ok(Exit::Done);
                }
            };
            let Some(events) = next else { anyhow::bail!("the agent has ended, and its events with it") };
            put(&if args.json { json_lines(&events)? } else { table.rows(&events) });
        }
    }

    async fn ready(&self) -> anyhow::Result<Exit> {
        let Some(ready) = or_offline(self.client.ready().await)? else {
            put(&(self.offline()?.readiness() + "\n"));
            return Ok(Exit::Offline);
        };
        put(&view::ready(&ready, &Style::stdout()));
        Ok(if ready.ready { Exit::Done } else { Exit::Refused })
    }

    /// What nobody holds is taken off here; what an agent holds is asked of it, and of no other.
    async fn detach(&self) -> anyhow::Result<Exit> {
        let GlobalArgs { pin_dir, socket, .. } = &self.global;
        let pinned = pins::own_pins(pin_dir).is_ok_and(|pins| !pins.is_empty());
        let offline = if pinned { Offline::detach(pin_dir).await } else { Ok(None) };
        if let Ok(Some(done)) = offline {
            return self.say(Ok(done));
        }
        let request = Detach { pin_dir: Some(std::path::absolute(pin_dir)?) };
        let process = self.client.process().await;
        if let Some(done) = or_offline(self.client.detach(&request).await)? {
            self.say(Ok(done))?;
            // One that cannot be watched, in a PID namespace of its own say, ends all the same.
            if let Ok(process) = process {
                process.ended().await?;
                put("the agent has ended\n");
            }
            return Ok(Exit::Done);
        }
        offline?;
        match Offline::detach(pin_dir).await? {
            Some(done) => self.say(Ok(done)),
            None => anyhow::bail!(
                "an agent holds {}, and none answers on {}: name its --socket",
                pin_dir.display(),
                socket.display()
            ),
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
    #[expect(clippy::option_option, reason = "no wait, a wait without an end, a wait of this length")]
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
        put(&view::done(&done?, &Style::stdout()));
        Ok(Exit::Done)
    }
}

async fn print_all<T: serde::de::DeserializeOwned>(
    mut lines: Lines<T>,
    mut print: impl FnMut(Vec<T>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    while let Some(items) = lines.next().await? {
        print(items)?;
    }
    Ok(())
}
