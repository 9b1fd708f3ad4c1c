//! Commands that change the agent: edits of the backends, reload, detach.

use super::{Agent, Leaving};
use crate::{
    config::{AdminState, BackendChange, Config, ConfigFile, EditError, Outcome},
    control::{
        Command,
        types::{Admin, ApiError, BackendAdd, BackendRemove, BackendState, BackendWeight, Done},
    },
};

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
            Command::FlowsReset(filter, reply) => drop(reply.send(self.reset_flows(&filter))),
            Command::Events(_, reply) => {
                let words = "this version keeps no events yet; the agent's log has them";
                drop(reply.send(Err(ApiError::not_found(words))));
            }
            Command::Reload(reply) => {
                let reloaded = self.reload().await;
                drop(reply.send(reloaded));
            }
            Command::Detach(reply) => self.leaving = Some(Leaving::Detach(Some(reply))),
        }
    }

    async fn add(&mut self, request: BackendAdd) -> Result<Done, ApiError> {
        let name = request.name.unwrap_or_else(|| request.address.to_string());
        let weight = request.weight.map(byte).transpose()?;
        let words = format!("{name} ({}) takes new connections", request.address);
        let change = BackendChange::Add { name, address: request.address, weight };
        self.edit(&change, request.runtime, words).await
    }

    async fn remove(&mut self, request: BackendRemove) -> Result<Done, ApiError> {
        let position = self.state.config().backend_index(&request.name);
        let id = position.map(|position| self.state.id_of(position));
        let words = if request.now {
            format!("{} is removed, its flows are reset", request.name)
        } else {
            format!("{} is removed, its flows end by themselves", request.name)
        };
        let change = BackendChange::Remove { name: request.name };
        let done = self.edit(&change, request.runtime, words).await?;
        if let (true, Some(id)) = (request.now, id) {
            self.state.cut(id);
            self.apply();
        }
        Ok(done)
    }

    async fn set_state(&mut self, request: BackendState) -> Result<Done, ApiError> {
        let (state, words) = match request.state {
            Admin::Enabled => (AdminState::Enabled, "takes new connections"),
            Admin::Draining => (AdminState::Draining, "takes no new connections, its flows go on"),
            Admin::Disabled => (AdminState::Disabled, "takes no new connections, its flows are reset"),
        };
        let words = format!("{} {words}", request.name);
        self.edit(&BackendChange::SetState { name: request.name, state }, request.runtime, words).await
    }

    async fn set_weight(&mut self, request: BackendWeight) -> Result<Done, ApiError> {
        let weight = byte(request.weight)?;
        let words = format!("{} has weight {weight}", request.name);
        self.edit(&BackendChange::SetWeight { name: request.name, weight }, request.runtime, words).await
    }

    /// Changes the file, unless it is told not to or there is none, and the running state.
    async fn edit(&mut self, change: &BackendChange, runtime: bool, words: String) -> Result<Done, ApiError> {
        let unchanged =
            || Done::unchanged(format!("nothing to do: {words} already").replace(" takes ", " takes "));
        let mut done = Done::changed(words.clone());
        // What the running agent has is judged first, on this host too: the file is only written when it fits.
        let refused = |error: &dyn std::error::Error| ApiError::conflict(error.to_string());
        let running = self.state.config().changed(change).map_err(|error| refused(&error))?;
        if let Some(config) = &running {
            config.resolve(&self.network.host_facts()).map_err(|error| refused(&error))?;
        }
        let mut written = None;
        if let (false, Some(file)) = (runtime, &mut self.file) {
            match file.edit(change, &self.options.overrides) {
                Ok(Outcome::Changed(config)) => written = Some(*config),
                Ok(Outcome::Unchanged) => {}
                Err(error @ (EditError::Config(_) | EditError::FromFlags(_) | EditError::Stale(_))) => {
                    return Err(refused(&error));
                }
                Err(error) => return Err(ApiError::failed(error.to_string())),
            }
        } else if self.file.is_none() {
            done.notes.push("there is no configuration file: this lasts until the agent restarts".into());
        }
        match running {
            Some(config) => self.take(config).await?,
            None if written.is_none() => return Ok(unchanged()),
            None => {}
        }
        log::info!("{}", done.message);
        Ok(done)
    }

    /// Makes another configuration the running one.
    async fn take(&mut self, config: Config) -> Result<(), ApiError> {
        let host = self.network.host_facts();
        self.state
            .replace(config, &host, Self::now())
            .map_err(|error| ApiError::conflict(error.to_string()))?;
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
        if let Err(error) = self.network.refresh_facts().await {
            log::warn!("{error}");
        }
        config.resolve(&self.network.host_facts()).map_err(|error| refused(&error))?;
        let dropped = self.dropped_changes();
        self.take(config).await?;
        self.file = Some(file);
        self.follow_interfaces()?;
        let mut done = Done::changed("the configuration has been read again");
        done.notes.extend(dropped);
        Ok(done)
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

/// A weight as the configuration has it.
fn byte(weight: u32) -> Result<u8, ApiError> {
    u8::try_from(weight)
        .ok()
        .filter(|weight| *weight > 0)
        .ok_or_else(|| ApiError::invalid(format!("a weight is a number from 1 to 255, not {weight}")))
}
