//! Dropped packets in the agent's log, where the configuration asks for them.

use anyhow::Context as _;
use tokio::io::{Interest, unix::AsyncFd};

use crate::kernel::DataPlane;

/// Logs them for as long as the agent lives.
pub fn follow(plane: &mut DataPlane) -> anyhow::Result<()> {
    let lines = plane.drop_lines(|line| log::info!("{line}"))?;
    // SAFETY: the lines own the descriptor of their ring, which stays the same for as long as they are.
    let lines = unsafe { AsyncFd::register_with_interest(lines, Interest::READABLE) };
    let mut lines = lines.map_err(std::io::Error::from).context("dropped packets cannot be logged")?;
    tokio::spawn(async move {
        while let Ok(mut ready) = lines.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}
