//! Connections that are ended at both ends: of backends that are down, that are disabled, removed with `--now` or drained
//! for too long, and those that an operator names.
//!
//! Finding them is a walk over the flow tables, in a thread of its own.

use std::{sync::Arc, time::Instant};

use lb_common::{
    abi::{BackendId, StateWord},
    tcp::State,
};

use super::{
    Agent,
    events::EventLog,
    flows,
    machines::Probed,
    news::News,
    resets::{Candidate, Resets, Ways},
};
use crate::{
    control::{
        Reply,
        types::{ApiError, Done, EventKind, FlowFilter},
    },
    kernel::collect::Collector,
};

impl Agent {
    /// Ends the connections that are chosen, in a thread of its own, which tells `done` how many there were. Whether it
    /// has begun.
    fn end_connections(
        &mut self,
        chosen: impl Fn(&Candidate<'_>) -> bool + Send + 'static,
        done: impl FnOnce(anyhow::Result<u64>) + Send + 'static,
    ) -> bool {
        let mut resets = match self.resets() {
            Ok(resets) => resets,
            Err(error) => {
                done(Err(error));
                return false;
            }
        };
        let tables = Arc::clone(&self.flow_tables);
        tokio::task::spawn_blocking(move || done(resets.end(&tables, chosen).map_err(Into::into)));
        true
    }

    /// What ends connections, with the present next hops.
    fn resets(&mut self) -> anyhow::Result<Resets> {
        let program = self.applier.plane().collector_descriptor()?;
        let ways = Ways::of(self.applier.tables())?;
        Ok(Resets::new(Collector::new(program), ways))
    }

    /// Resets the connections of a service on a backend that is down. Whether that has begun, or is not wanted.
    pub(super) fn reset_connections(&mut self, down: &Probed) -> bool {
        let name = self.probed_words(down);
        let services = self.state.resetting(&down.service, down.family);
        if services.is_empty() {
            log::info!("{name}: its connections are kept, as `when_down` says");
            return true;
        }
        let backend = down.backend;
        let is_of = move |candidate: &Candidate<'_>| {
            let word = StateWord(candidate.meta.state);
            // A handshake goes to another backend by itself.
            candidate.meta.backend == backend
                && services.contains(&(candidate.vip.ip(), candidate.vip.port()))
                && word.state() != State::SynSent
        };
        let about = News::warning(EventKind::FlowsReset, "").why("it is down, and the others answer");
        let about = about.service(&down.service).backend(&self.backend_name(backend)).family(down.family);
        let events = self.events.clone();
        self.end_connections(is_of, move |ended| tell(&events, &name, about, ended))
    }

    /// Ends what is due by now. The tables name none of these backends to new flows any more.
    pub(super) fn end_what_is_due(&mut self, now: Instant) {
        let due = self.endings.due(self.state.leaving(), self.state.config().drain_timeout, now);
        if due.is_empty() {
            return;
        }
        let names: Vec<String> = due.iter().map(|id| self.backend_name(*id)).collect();
        let about =
            News::info(EventKind::FlowsReset, "").why("disabled, removed, or drained for long enough");
        let about = if let [name] = &*names { about.backend(name) } else { about };
        let (events, whose) = (self.events.clone(), names.join(", "));
        let backends = due.clone();
        let is_of = move |candidate: &Candidate<'_>| backends.contains(&candidate.meta.backend);
        if !self.end_connections(is_of, move |ended| tell(&events, &whose, about, ended)) {
            self.endings.again(&due);
        }
    }

    /// Has the flows reset that match; whoever asked is answered when it is done.
    pub(super) fn reset_flows(&mut self, filter: FlowFilter, reply: Reply<Done>) {
        if let Err(error) = self.known(filter.backend.as_deref()) {
            return drop(reply.send(Err(error)));
        }
        let events = self.events.clone();
        let is_meant = flows::matching(self.names(), filter.clone());
        self.end_connections(is_meant, move |ended| {
            drop(reply.send(match ended {
                Ok(0) => Ok(Done::unchanged(flows::reset_words(0))),
                Ok(ended) => {
                    events.tell(by_command(ended, &filter));
                    Ok(Done::changed(flows::reset_words(ended)))
                }
                Err(error) => Err(ApiError::failed(format!("the flows cannot be reset: {error:#}"))),
            }));
        });
    }

    /// The name of a backend, as far as it has one.
    pub(super) fn backend_name(&self, id: BackendId) -> String {
        self.state.ids().get(id).map_or_else(|| id.to_string(), |owner| owner.name.clone())
    }
}

/// Says what has become of the connections of `whose`.
fn tell(events: &EventLog, whose: &str, about: News, ended: anyhow::Result<u64>) {
    match ended {
        Ok(0) => {}
        Ok(ended) => {
            let words = format!("{whose}: {}", flows::reset_words(ended));
            events.tell(about.message(words).count(ended));
        }
        Err(error) => {
            let words = format!("{whose}: its connections cannot be reset");
            events.tell(about.message(words).warn().why(format!("{error:#}")));
        }
    }
}

/// That flows were reset, and which ones were meant.
fn by_command(ended: u64, filter: &FlowFilter) -> News {
    let backend = filter.backend.as_ref().map(|name| format!("to {name}"));
    let client = filter.client.map(|client| format!("from {client}"));
    let snat = filter.snat.map(|snat| format!("as {snat}"));
    let meant: Vec<String> = backend.into_iter().chain(client).chain(snat).collect();
    let meant = if meant.is_empty() { "all of them".to_owned() } else { meant.join(", ") };
    let news = News::info(EventKind::FlowsReset, flows::reset_words(ended)).count(ended);
    let news = filter.backend.iter().fold(news, |news, name| news.backend(name));
    news.why(format!("by a command: {meant}"))
}
