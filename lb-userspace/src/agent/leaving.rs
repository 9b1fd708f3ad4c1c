//! How an agent ends.

use super::{Agent, host};
use crate::control::{
    Reply,
    types::{ApiError, Done},
};

/// How the agent ends.
pub enum Leaving {
    /// The programs stay.
    Stay,
    /// Everything is taken off, and whoever asked is told.
    Detach(Option<Reply<Done>>),
}

impl Agent {
    /// Ends the agent: the programs stay unless it was asked otherwise.
    pub(super) async fn leave(&mut self) -> anyhow::Result<()> {
        let _no_supervisor = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        let leaving = self.leaving.take().unwrap_or(Leaving::Stay);
        let reply = match leaving {
            Leaving::Stay if !self.options.detach_on_exit => {
                self.keep_catalog();
                return Ok(());
            }
            Leaving::Stay => None,
            Leaving::Detach(reply) => reply,
        };
        let detached = host::detach(self.pins.path()).await;
        if let Ok(detached) = &detached {
            detached.notes.iter().for_each(|note| log::warn!("{note}"));
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
