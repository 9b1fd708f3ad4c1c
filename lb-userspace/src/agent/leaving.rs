//! How an agent ends.

use super::Agent;
use crate::{
    control::{
        Reply,
        types::{ApiError, Done},
    },
    kernel::pins,
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
    pub(super) fn leave(&mut self) -> anyhow::Result<()> {
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
        let removed = pins::remove_all(self.pins.path());
        if let Some(reply) = reply {
            let words = "the programs are off and the pinned state is gone; the agent has ended";
            let _gone = reply.send(match &removed {
                Ok(()) => Ok(Done::changed(words)),
                Err(error) => Err(ApiError::failed(format!(
                    "{} cannot be removed: {error}",
                    self.pins.path().display()
                ))),
            });
        }
        Ok(removed?)
    }
}
