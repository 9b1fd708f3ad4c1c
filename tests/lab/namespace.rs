//! One network namespace: made, entered, removed.
//!
//! Entered by `setns` in a thread or child of its own, never by `ip netns exec`: that mounts another /sys,
//! hides bpffs, and what is pinned there vanishes with the process.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::names::NETNS_DIR;

/// A named network namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    dies_with_us: bool,
}

impl Namespace {
    /// Makes it, with the loopback up. With `dies_with_us`, commands in it are killed by the kernel when the
    /// thread that started them ends.
    pub fn create(name: &str, dies_with_us: bool) -> Result<Self> {
        run("ip", &["netns", "add", name])?;
        let namespace = Self { name: name.into(), dies_with_us };
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.name)
    }

    /// A command that will run in it, in a process group of its own so that a Ctrl-C at the terminal reaches
    /// only us.
    pub fn command(&self, program: impl AsRef<Path>) -> Result<Command> {
        let file = self.open()?;
        let dies_with_us = self.dies_with_us;
        let mut command = Command::new(program.as_ref());
        command.process_group(0);
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing; the file is
        // moved in and so stays open.
        unsafe {
            command.pre_exec(move || {
                enter(&file)?;
                if dies_with_us && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        Ok(command)
    }

    /// Runs a command in it to its end; a failure is an error.
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(program)?;
        finish(command.args(arguments))
    }

    /// Runs the closure on a thread of its own inside the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = self.open()?;
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&file).with_context(|| format!("cannot enter namespace {}; run as root", self.name))?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets a kernel parameter under /proc/sys, which shows the namespace of the thread that asks.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("cannot set {key}={value} in {}", self.name))
    }

    /// Feeds lines to `ip -batch` inside the namespace.
    pub fn ip_batch(&self, lines: &[String]) -> Result<()> {
        use std::{io::Write, process::Stdio};
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ip; install iproute2")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all((lines.join("\n") + "\n").as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("cannot lay out {}: {}", self.name, error.trim());
        }
        Ok(())
    }

    fn open(&self) -> Result<File> {
        File::open(self.path()).with_context(|| format!("namespace {} is gone", self.name))
    }
}

fn enter(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is; setns changes only the calling thread.
    if unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Runs a command to its end on the host; a failure is an error with what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    finish(Command::new(program).args(arguments))
}

fn finish(command: &mut Command) -> Result<Output> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.output().with_context(|| format!("cannot run {shown}; is it installed?"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}): {}", output.status, error.trim());
    }
    Ok(output)
}
