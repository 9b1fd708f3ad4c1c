//! The agent under test, in the balancer's namespace, with socket, pins and configuration of its own.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    PATIENCE, binaries,
    lab::Lab,
    moment,
    namespace::Namespace,
    plan::{Family, Plan},
    process::Process,
    status,
};

/// The families that the agent serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

/// How the agent is configured and started.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    /// Which addresses.
    pub families: Families,
    /// `--xdp-mode`; the agent's own choice when `None`.
    pub xdp_mode: Option<&'static str>,
    /// The controllers that are backends from the start; all when `None`.
    pub backends: Option<Vec<String>>,
    /// TOML put before the backends: top-level keys.
    pub top: String,
    /// TOML put after the backends: further tables.
    pub tables: String,
    /// Further arguments of `xdplb run`.
    pub arguments: Vec<String>,
    /// A capability that it lacks, as `setpriv` calls it: `net_raw`.
    pub without: Option<&'static str>,
}

/// What a client command answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<&Output> for Reply {
    fn from(output: &Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A started agent. Dropping it kills it; its pins live as long as the lab.
#[derive(Debug)]
pub struct Agent {
    program: PathBuf,
    namespace: Namespace,
    directory: PathBuf,
    arguments: Vec<String>,
    without: Option<&'static str>,
    process: Option<Process>,
}

impl Agent {
    /// Writes the configuration, starts the agent and waits for its `ready`.
    pub fn start(lab: &Lab, options: AgentOptions) -> Result<Self> {
        let directory = lab.directory().to_path_buf();
        let config = directory.join("xdplb.toml");
        fs::write(&config, configuration(lab, &options)?)?;
        mount_bpffs(&directory.join("bpf"))?;
        let mut arguments = vec!["run".into(), "--config".into(), config.display().to_string()];
        if let Some(mode) = options.xdp_mode {
            arguments.extend(["--xdp-mode".into(), mode.into()]);
        }
        arguments.extend(options.arguments);
        let namespace = lab.namespace("lb")?.clone();
        let (program, without) = (binaries::xdplb()?, options.without);
        let mut agent = Self { program, namespace, directory, arguments, without, process: None };
        agent.start_again()?;
        Ok(agent)
    }

    /// Starts it once more after it was killed or stopped, and waits for its `ready`.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the agent still runs; kill or stop it first");
        let command = self.own_command()?;
        let process = Process::spawn("agent", command, &self.directory)?;
        process.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
        self.process = Some(process);
        Ok(())
    }

    /// What starts it: with all rights of the tests' but one, where it is to lack one.
    fn own_command(&self) -> Result<Command> {
        let plain = self.with_socket_and_pins(self.namespace.command(&self.program)?);
        let mut command = match self.without {
            None => plain,
            Some(capability) => {
                let mut bounded = self.namespace.command("setpriv")?;
                for set in ["--bounding-set", "--inh-caps"] {
                    bounded.args([set, &format!("-{capability}")]);
                }
                bounded.arg("--").arg(&self.program).args(plain.get_args());
                bounded
            }
        };
        command.args(&self.arguments);
        Ok(command)
    }

    /// Ends it with SIGKILL.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.take().context("the agent does not run")?.kill()
    }

    /// Ends it with SIGTERM and waits.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.take().context("the agent does not run")?.stop(PATIENCE)
    }

    /// Sends it a signal: SIGHUP to reload.
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        self.process.as_mut().context("the agent does not run")?.signal(signal);
        Ok(())
    }

    /// It may go on when its handle is dropped.
    pub fn leave_running(&mut self) {
        if let Some(process) = &mut self.process {
            process.leave_running();
        }
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.directory.join("xdplb.toml")
    }

    /// `xdplb` with this agent's socket and pins, in its namespace; the command's own words come after.
    pub fn command(&self) -> Result<Command> {
        Ok(self.with_socket_and_pins(self.namespace.command(&self.program)?))
    }

    fn with_socket_and_pins(&self, mut command: Command) -> Command {
        command.arg("--socket").arg(self.directory.join("xdplb.sock"));
        command.arg("--pin-dir").arg(self.directory.join("bpf/xdplb"));
        command
    }

    /// Runs a client command, whatever its exit status.
    pub fn try_xdplb(&self, arguments: &[&str]) -> Result<Reply> {
        let output = self.command()?.args(arguments).output().context("cannot run xdplb")?;
        Ok(Reply::from(&output))
    }

    /// Runs a client command that shall succeed; gives what it printed.
    pub fn xdplb(&self, arguments: &[&str]) -> Result<String> {
        let reply = self.try_xdplb(arguments)?;
        let shown = arguments.join(" ");
        ensure!(reply.status.success(), "xdplb {shown} failed ({}): {}", reply.status, reply.stderr.trim());
        Ok(reply.stdout)
    }

    /// Runs a client command with `--json`. Exit status 3, answered without an agent, is an answer too.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let with_json = [arguments, &["--json"]].concat();
        let reply = self.try_xdplb(&with_json)?;
        let shown = with_json.join(" ");
        if !matches!(reply.status.code(), Some(0 | 3)) {
            bail!("xdplb {shown} failed ({}): {}", reply.status, reply.stderr.trim());
        }
        serde_json::from_str(&reply.stdout)
            .with_context(|| format!("xdplb {shown} printed no JSON: {}", reply.stdout))
    }

    /// `xdplb status --json`.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// Waits until the status pleases; gives it.
    pub fn wait_status(&self, what: &str, pleases: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = moment::deadline(PATIENCE);
        loop {
            let status = self.status()?;
            if pleases(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the status did not come to {what} within {PATIENCE:?}: {status:#}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a backend has this health for the Kubernetes API.
    pub fn wait_health(&self, backend: &str, health: &str) -> Result<Value> {
        let what = format!("{backend} {health}");
        self.wait_status(&what, |status| status::health(status, backend, 6443) == Some(health))
    }

    /// Waits until every backend has this health for the Kubernetes API.
    pub fn wait_until_all(&self, health: &str) -> Result<Value> {
        self.wait_status(&format!("all {health}"), |status| {
            let names = status::backends(status);
            !names.is_empty() && names.iter().all(|name| status::health(status, name, 6443) == Some(health))
        })
    }
}

fn configuration(lab: &Lab, options: &AgentOptions) -> Result<String> {
    let plan = lab.plan();
    let families: &[Family] = match options.families {
        Families::V4 => &[Family::V4],
        Families::V6 => &[Family::V6],
        Families::Both => &[Family::V4, Family::V6],
    };
    let quoted = |addresses: Vec<String>| format!("[\"{}\"]", addresses.join("\", \""));
    let vips = families.iter().map(|family| plan.vip(*family).to_string()).collect();
    let mut text = format!("interfaces = {}\n", quoted(plan.balancer_interfaces()));
    writeln!(text, "vips = {}\n{}", quoted(vips), options.top)?;
    for name in options.backends.clone().unwrap_or_else(|| lab.controllers()) {
        let addresses = controller_addresses(plan, &name, families)?;
        writeln!(text, "\n[[backends]]\nname = \"{name}\"\naddresses = {}", quoted(addresses))?;
    }
    Ok(text + "\n" + &options.tables)
}

fn controller_addresses(plan: &Plan, name: &str, families: &[Family]) -> Result<Vec<String>> {
    let number = name.trim_start_matches('c').parse::<u8>();
    let number = number.with_context(|| format!("{name} is no controller; they are called c1, c2…"))?;
    Ok(families.iter().map(|family| plan.controller(*family, number).to_string()).collect())
}

/// Mounts a bpffs of the lab's own, so that its pins go with it.
pub(crate) fn mount_bpffs(directory: &Path) -> Result<()> {
    // From linux/magic.h; the mount is there already when a second agent starts in the same lab.
    let bpffs = crate::namespace::run("stat", &["-f", "-c", "%t", &directory.display().to_string()])?;
    if String::from_utf8_lossy(&bpffs.stdout).trim() != "cafe4a11" {
        crate::namespace::run("mount", &["-t", "bpf", "bpf", &directory.display().to_string()])?;
    }
    Ok(())
}
