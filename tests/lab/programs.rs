//! Programs of the distribution as the controllers' servers: nginx, etcd, iperf3.

use std::{
    ffi::OsStr,
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{PATIENCE, lab::Lab, moment, plan::Family, process::Process};

/// A program of the distribution that runs on a node. It ends with its handle.
#[derive(Debug)]
pub struct Program(Process);

impl Program {
    /// Starts it.
    pub fn start<A: AsRef<OsStr>>(
        lab: &Lab,
        node: &str,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let mut command = lab.namespace(node)?.command(program)?;
        command.args(arguments).current_dir(lab.directory());
        Ok(Self(Process::spawn(&format!("{program}-{node}"), command, lab.directory())?))
    }

    /// Waits until something listens on a port of its node. Such programs do not say when they do.
    pub fn wait_until_it_listens(&mut self, lab: &Lab, node: &str, port: u16) -> Result<()> {
        let deadline = moment::deadline(PATIENCE);
        let local = SocketAddr::from(([127, 0, 0, 1], port));
        let namespace = lab.namespace(node)?;
        while namespace.enter(|| TcpStream::connect(local))?.is_err() {
            ensure!(self.0.is_alive(), "{node} does not listen on {port}: {}", self.0.last_words());
            ensure!(Instant::now() < deadline, "{node} does not listen on {port} within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits for a line, old or new, that pleases.
    pub fn wait_for_line(&self, what: &str, pleases: impl Fn(&str) -> bool) -> Result<String> {
        self.0.wait_for_line(what, PATIENCE, pleases)
    }

    /// Does it still run?
    pub fn is_alive(&mut self) -> bool {
        self.0.is_alive()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.0.wait(PATIENCE)
    }
}

/// A certificate for the VIPs, signed by itself, and its key, as PEM files in the lab's directory.
pub fn certificate(lab: &Lab) -> Result<(PathBuf, PathBuf)> {
    let names = [Family::V4, Family::V6].map(|family| lab.plan().vip(family).to_string());
    let certified = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    let files = (lab.directory().join("vip.pem"), lab.directory().join("vip.key"));
    fs::write(&files.0, certified.cert.pem())?;
    fs::write(&files.1, certified.signing_key.serialize_pem())?;
    Ok(files)
}
