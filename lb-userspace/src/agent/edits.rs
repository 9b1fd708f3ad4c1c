//! Commands that change the agent: edits of the backends, reload, detach.

use std::path::Path;

use super::{Agent, leaving::Leaving, news::News};
use crate::{
    config::{AdminState, BackendChange, Config, ConfigFile, EditError, Outcome},
    control::{
        Command,
        types::{Admin, ApiError, BackendAdd, BackendRemove, BackendState, BackendWeight, Done, EventKind},
    },
};

/// What an edit changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The running agent, and the file that it was configured by, so that it lasts.
    AgentAndFile,
    /// The running agent alone.
    AgentOnly,
}

impl Reach {
    /// As `--runtime` has it.
    fn of(runtime: bool) -> Self {
        if runtime { Self::AgentOnly } else { Self::AgentAndFile }
    }
}

/// What is said of an edit.
struct Words {
    /// When it was made.
    done: String,
    /// When it was so already.
    already: String,
}

impl Agent {
    /// Carries out one command of the control socket.
    pub(super) async fn command(&mut self, command: Command) {
        // A client that has gone does not hear the answer; what it asked is done all the same.
        match command {
            Command::Status(reply) => drop(reply.send(Ok(self.status()))),
            Command::Ready(reply) => drop(reply.send(Ok(self.readiness()))),
            Command::Counters(reply) => drop(reply.send(Ok(self.counters()))),
            Command::Backends(reply) => {
                let census = self.census.borrow().clone();
                drop(reply.send(Ok(self.backends(&census))));
            }
            Command::BackendAdd(request, reply) => drop(reply.send(self.add(request).await)),
            Command::BackendRemove(request, reply) => drop(reply.send(self.remove(request).await)),
            Command::BackendState(request, reply) => drop(reply.send(self.set_state(request).await)),
            Command::BackendWeight(request, reply) => drop(reply.send(self.set_weight(request).await)),
            Command::BackendIdle(backend, reply) => self.wait_for_idle(backend, reply),
            Command::Flows(filter, reply) => drop(reply.send(self.flows(filter))),
            Command::FlowsReset(filter, reply) => self.reset_flows(filter, reply),
            Command::Events(filter, reply) => drop(reply.send(Ok(self.events.read(&filter)))),
            Command::Reload(reply) => {
                let reloaded = self.reload().await;
                drop(reply.send(reloaded));
            }
            Command::Detach(request, reply) => match self.is_ours(request.pin_dir.as_deref()) {
                Ok(()) => self.leaving = Some(Leaving::Detach(Some(reply))),
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    async fn add(&mut self, request: BackendAdd) -> Result<Done, ApiError> {
        let name = request.name.unwrap_or_else(|| request.address.to_string());
        let weight = request.weight.map(byte).transpose()?;
        let words = Words {
            done: format!("{name} ({}) takes new connections", request.address),
            already: format!("{name} is there already, with the address {}", request.address),
        };
        let change = BackendChange::Add { name, address: request.address, weight };
        self.edit(&change, Reach::of(request.runtime), words).await
    }

    async fn remove(&mut self, request: BackendRemove) -> Result<Done, ApiError> {
        let name = request.name;
        let position = self.state.config().backend_index(&name);
        let id = match position {
            Some(position) => Some(self.state.id_of(position)),
            // One that is removed already may still hold flows, which --now is about.
            None => self.state.ids().iter().find(|gone| gone.name == name).map(|gone| gone.id),
        };
        let end = if request.now { "its flows are reset" } else { "its flows end by themselves" };
        let words = Words {
            done: format!("{name} is removed, {end}"),
            already: match (id, request.now) {
                (None, _) => format!("there is no backend {name}"),
                (Some(_), false) => format!("{name} is removed already, its last flows end by themselves"),
                (Some(_), true) => format!("{name} is removed already, its last flows are reset"),
            },
        };
        let done = self.edit(&BackendChange::Remove { name }, Reach::of(request.runtime), words).await?;
        if let (true, Some(id)) = (request.now, id) {
            self.state.cut(id);
            self.apply();
        }
        Ok(done)
    }

    async fn set_state(&mut self, request: BackendState) -> Result<Done, ApiError> {
        let name = request.name;
        let (state, word, meaning) = match request.state {
            Admin::Enabled => (AdminState::Enabled, "enabled", "takes new connections"),
            Admin::Draining => {
                (AdminState::Draining, "draining", "takes no new connections, its flows go on")
            }
            Admin::Disabled => {
                (AdminState::Disabled, "disabled", "takes no new connections, its flows are reset")
            }
        };
        let words = Words { done: format!("{name} {meaning}"), already: format!("{name} is {word} already") };
        self.edit(&BackendChange::SetState { name, state }, Reach::of(request.runtime), words).await
    }

    async fn set_weight(&mut self, request: BackendWeight) -> Result<Done, ApiError> {
        let (name, weight) = (request.name, byte(request.weight)?);
        let words = Words {
            done: format!("{name} has weight {weight}"),
            already: format!("{name} has weight {weight} already"),
        };
        self.edit(&BackendChange::SetWeight { name, weight }, Reach::of(request.runtime), words).await
    }

    /// Changes the running state, and the file where there is one and the edit reaches so far.
    async fn edit(&mut self, change: &BackendChange, reach: Reach, words: Words) -> Result<Done, ApiError> {
        // What the running agent has is judged first, on this host too: the file is only written when it fits.
        let refused = |error: &dyn std::error::Error| ApiError::conflict(error.to_string());
        let running = self.state.config().changed(change).map_err(|error| refused(&error))?;
        if let Some(config) = &running {
            config.resolve(&self.network.host_facts()).map_err(|error| refused(&error))?;
        }
        let mut written = false;
        if let (Reach::AgentAndFile, Some(file)) = (reach, &mut self.file) {
            match file.edit(change, &self.options.overrides) {
                Ok(outcome) => written = outcome != Outcome::Unchanged,
                Err(error @ (EditError::Config(_) | EditError::FromFlags(_) | EditError::Stale(_))) => {
                    return Err(refused(&error));
                }
                Err(error) => return Err(ApiError::failed(error.to_string())),
            }
        }
        if running.is_none() && !written {
            return Ok(Done::unchanged(words.already));
        }
        let mut done = Done::changed(words.done);
        if let Some(config) = running {
            let (before, former) = (self.warnings(), self.state.config().clone());
            let taken = self.take(config).await;
            self.tell_backends(&former, "by a command");
            taken?;
            done.notes.extend(self.warnings().into_iter().filter(|warning| !before.contains(warning)));
        } else {
            done.notes.push("the agent had it so already; now its file says so too".into());
        }
        if self.file.is_none() && reach == Reach::AgentAndFile {
            done.notes.push("there is no configuration file: this lasts until the agent restarts".into());
        }
        Ok(done)
    }

    /// Makes another configuration the running one.
    async fn take(&mut self, config: Config) -> Result<(), ApiError> {
        let host = self.network.host_facts();
        self.changed = None;
        self.state
            .replace(config, &host, Self::now())
            .map_err(|error| ApiError::conflict(error.to_string()))?;
        self.compare_sizes();
        self.network.follow(&self.state.backend_addresses()).await;
        let attached: Vec<u32> = self.attached.keys().copied().collect();
        self.network.assign_links(&attached);
        self.try_apply().map_err(|error| ApiError::failed(error.to_string()))?;
        self.schedule_probes();
        Ok(())
    }

    /// Reads the configuration file again. A bad one is refused, and the running state stays.
    pub(super) async fn reload(&mut self) -> Result<Done, ApiError> {
        let Some(path) = &self.options.config else {
            return Err(ApiError::conflict(
                "there is no configuration file to read again: this agent was started without --config",
            ));
        };
        let refused = |error: &dyn std::error::Error| ApiError::conflict(error.to_string());
        let file = ConfigFile::load(path).map_err(|error| refused(&error))?;
        let config = file.config(&self.options.overrides).map_err(|error| refused(&error))?;
        self.kinds.check(&config).map_err(|error| refused(&error))?;
        if let Err(error) = self.network.refresh_facts().await {
            log::warn!("{error}");
        }
        config.resolve(&self.network.host_facts()).map_err(|error| refused(&error))?;
        let dropped = self.dropped_changes();
        let late = self.late_changes(&config);
        let (before, former) = (self.warnings(), self.state.config().clone());
        let taken = self.take_with_interfaces(config).await;
        self.tell_backends(&former, "the configuration was read again");
        taken?;
        self.file = Some(file);
        self.listeners = self.find_listeners();
        let mut done = Done::changed("the configuration has been read again");
        done.notes.extend(dropped);
        done.notes.extend(late);
        done.notes.extend(self.warnings().into_iter().filter(|warning| !before.contains(warning)));
        self.events.tell(News::info(EventKind::Configuration, &*done.message));
        for note in &done.notes {
            let news = News::warning(EventKind::Configuration, "the new configuration has a consequence");
            self.events.tell(news.why(note));
        }
        Ok(done)
    }

    /// Reloads by a signal, after which there is nobody to tell but the log.
    pub(super) async fn hung_up(&mut self) {
        if let Err(error) = self.reload().await {
            let news = News::warning(EventKind::Configuration, "the configuration stays as it was");
            self.events.tell(news.why(error.to_string()));
        }
    }

    /// Makes another configuration the running one, on its interfaces; if one of them refuses, all stays as it was.
    async fn take_with_interfaces(&mut self, config: Config) -> Result<(), ApiError> {
        let former = (self.state.config().clone(), self.attached.clone());
        self.take(config).await?;
        let Err(refusal) = self.follow_interfaces() else { return Ok(()) };
        self.attached = former.1;
        let back = match self.take(former.0).await {
            Ok(()) => self.attach_all().map_err(|error| ApiError::failed(error.to_string())),
            Err(error) => Err(error),
        };
        if let Err(error) = back {
            log::error!("the former configuration does not come back: {error}");
        }
        Err(refusal)
    }

    /// What a running agent does not change: it is said, and done at the next start.
    fn late_changes(&self, config: &Config) -> Vec<String> {
        let now = self.state.config();
        let keys = [
            ("xdp_mode", now.xdp_mode != config.xdp_mode),
            ("log_drops", now.log_drops != config.log_drops),
            ("cluster_key_file", now.cluster_key_file != config.cluster_key_file),
        ];
        let late = keys.iter().filter(|(_, differs)| *differs);
        late.map(|(key, _)| format!("{key} takes effect when the agent is started again")).collect()
    }

    /// The changes of the running agent that the file does not have.
    fn dropped_changes(&self) -> Vec<String> {
        let Some(file) = &self.file else { return Vec::new() };
        let Ok(former) = file.config(&self.options.overrides) else { return Vec::new() };
        let changes = former.changes_to(self.state.config());
        changes
            .iter()
            .map(|change| format!("dropped, because it was made with --runtime: {change}"))
            .collect()
    }

    /// Attaches to interfaces that are new in the configuration, and lets go of those that are gone.
    fn follow_interfaces(&mut self) -> Result<(), ApiError> {
        let mut wanted = super::attaching::plan(self, None);
        for (index, attached) in &mut wanted {
            if let Some(present) = self.attached.get(index) {
                attached.clone_from(present);
            }
        }
        self.attached = wanted;
        self.attach_all().map_err(|error| ApiError::failed(error.to_string()))?;
        let attached: Vec<u32> = self.attached.keys().copied().collect();
        self.network.assign_links(&attached);
        self.try_apply().map_err(|error| ApiError::failed(error.to_string()))
    }
}

impl Agent {
    /// Whoever has this directory in mind means this agent: two on one host must not be confused.
    fn is_ours(&self, pin_dir: Option<&Path>) -> Result<(), ApiError> {
        let own = self.pins.path();
        let same = |given: &Path| {
            given == own
                || given.canonicalize().is_ok_and(|given| own.canonicalize().is_ok_and(|own| given == own))
        };
        match pin_dir {
            Some(given) if !same(given) => Err(ApiError::conflict(format!(
                "the agent on this socket has its state in {}, not in {}: repeat with --pin-dir {}, or name the other \
                 agent's --socket",
                own.display(),
                given.display(),
                own.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// A weight as the configuration has it.
fn byte(weight: u32) -> Result<u8, ApiError> {
    u8::try_from(weight)
        .ok()
        .filter(|weight| *weight > 0)
        .ok_or_else(|| ApiError::invalid(format!("a weight is a number from 1 to 255, not {weight}")))
}
