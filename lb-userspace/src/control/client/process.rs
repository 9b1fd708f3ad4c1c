//! The agent's process, for whoever waits for its end: only then are its locks free for the next one.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Client, ClientError, TIMEOUT};

/// A process that was alive when it was asked for.
#[derive(Debug)]
pub struct AgentProcess {
    socket: PathBuf,
    descriptor: AsyncFd<OwnedFd>,
}

impl Client {
    /// The process that listens on the socket.
    pub async fn process(&self) -> Result<AgentProcess, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| ClientError::connecting(&self.socket, &error))?;
        let watched = stream.peer_cred().and_then(|peer| watch(peer.pid().unwrap_or(0)));
        let descriptor = watched.map_err(|error| self.broken(&error))?;
        Ok(AgentProcess { socket: self.socket.clone(), descriptor })
    }
}

impl AgentProcess {
    /// Waits until it has ended.
    pub async fn ended(&self) -> Result<(), ClientError> {
        let ended = timeout(TIMEOUT, self.descriptor.readable()).await;
        ended.map(drop).map_err(|_| ClientError::Lingers(self.socket.clone()))
    }
}

/// A descriptor of a process, which becomes readable when that ends (Linux 5.3).
fn watch(process: libc::pid_t) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the call takes two numbers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: the descriptor is owned, and stays the same for as long as it is.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}
