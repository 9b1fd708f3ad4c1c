//! How an agent ends.

use super::{Agent, host, news::News};
use crate::control::{
    Reply,
    types::{ApiError, Done, EventKind},
};

/// How the agent ends.
pub enum Leaving {
    /// The programs stay.
    Stay,
    /// Everything is taken off, and whoever asked is told.
    Detach(Option<Reply<Done>>),
}

/// That the agent ends.
fn ends(why: &str) -> News {
    News::info(EventKind::Agent, "the agent ends").why(why)
}

impl Agent {
    /// Ends the agent: the programs stay unless it was asked otherwise.
    pub(super) async fn leave(&mut self) -> anyhow::Result<()> {
        let _no_supervisor = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        let leaving = self.leaving.take().unwrap_or(Leaving::Stay);
        let reply = match leaving {
            Leaving::Stay if !self.options.detach_on_exit => {
                self.events.tell(ends("the programs go on forwarding until the next agent"));
                self.keep_catalog();
                return Ok(());
            }
            Leaving::Stay => None,
            Leaving::Detach(reply) => reply,
        };
        let detached = host::detach(self.pins.path()).await;
        match &detached {
            Ok(detached) => {
                for note in &detached.notes {
                    let news = News::warning(EventKind::Host, "not all of this host is as it was");
                    self.events.tell(news.why(note));
                }
                self.events.tell(ends(&detached.words()));
            }
            Err(error) => self.events.tell(ends(&format!("taking everything off failed: {error:#}"))),
        }
        if let Some(reply) = reply {
            let _gone = reply.send(match &detached {
                Ok(detached) => Ok(Done { notes: detached.notes.clone(), ..Done::changed(detached.words()) }),
                Err(error) => Err(ApiError::failed(format!("{error:#}"))),
            });
        }
        detached.map(drop)
    }
}
