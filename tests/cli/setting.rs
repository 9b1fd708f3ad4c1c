//! What most of these begin with, and how an answer is read.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_tests::{
    Agent, AgentOptions, Hold, HoldOptions, Lab, LabBuilder, PATIENCE, Process, Reply, Server, binaries,
    report::Counts,
};
use serde_json::Value;

/// The Kubernetes API.
pub(crate) const API: u16 = 6443;

/// Long-lived connections of which surely (but once in ten million) some go to each of three controllers.
pub(crate) const MANY: u64 = 40;

/// Fields are dropped in order: the agent goes before the lab.
pub(crate) struct Setting {
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) lab: Lab,
}

impl Setting {
    /// Controllers first, so that the agent finds all of them up.
    pub(crate) fn new(lab: LabBuilder, options: AgentOptions) -> Result<Self> {
        let lab = lab.build()?;
        let servers = Server::start_all(&lab)?;
        let agent = Agent::start(&lab, options)?;
        agent.wait_until_all("up")?;
        Ok(Self { agent, servers, lab })
    }

    /// Three controllers on one segment, IPv4, everything else as it comes.
    pub(crate) fn usual() -> Result<Self> {
        Self::new(Lab::builder(), AgentOptions::default())
    }

    /// An agent with two controllers that do not live: for what needs no traffic.
    pub(crate) fn without_servers() -> Result<Self> {
        let lab = Lab::builder().controllers(2).build()?;
        let agent = Agent::start(&lab, AgentOptions::default())?;
        Ok(Self { agent, servers: Vec::new(), lab })
    }

    /// Long-lived connections, and how many of them each controller has.
    pub(crate) fn hold(&self, connections: u64) -> Result<(Hold, Counts)> {
        let options = HoldOptions::to(self.service(), connections);
        let hold = Hold::start(&self.lab, &options)?;
        let backends = hold.backends()?;
        Ok((hold, backends))
    }

    pub(crate) fn service(&self) -> SocketAddr {
        self.lab.service(API)
    }

    /// The configuration file's text.
    pub(crate) fn file(&self) -> Result<String> {
        Ok(fs::read_to_string(self.agent.config_file())?)
    }

    /// Runs the agent's own command line again, to an end that shall come at once.
    pub(crate) fn run_to_its_end(&self, arguments: &[&str]) -> Result<Reply> {
        let mut command = self.agent.command()?;
        command.arg("run").arg("--config").arg(self.agent.config_file()).args(arguments);
        Ok(reply(&command.output()?))
    }

    /// Starts the agent in the place of one that has ended, with further arguments, and waits for `ready`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.agent.command()?;
        command.arg("run").arg("--config").arg(self.agent.config_file()).args(arguments);
        let process = Process::spawn("agent", command, self.lab.directory())?;
        process.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
        Ok(process)
    }

    /// Waits until the agent's log has these words.
    pub(crate) fn wait_log(&self, words: &str) -> Result<String> {
        let path = self.lab.directory().join("agent.log");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if log.contains(words) {
                return Ok(log);
            }
            if Instant::now() > deadline {
                bail!("the log never said {words:?}: {log}");
            }
            // A file that grows tells nobody.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The pin directory.
    pub(crate) fn pins(&self) -> PathBuf {
        pins(&self.lab)
    }
}

/// Where the lab's agent pins.
pub(crate) fn pins(lab: &Lab) -> PathBuf {
    lab.directory().join("bpf/xdplb")
}

/// Runs `xdplb` on the balancer's host with nothing but these arguments.
pub(crate) fn xdplb<A: AsRef<OsStr>>(lab: &Lab, arguments: &[A]) -> Result<Reply> {
    let mut command = lab.namespace("lb")?.command(binaries::xdplb()?)?;
    Ok(reply(&command.args(arguments).output()?))
}

pub(crate) fn reply(output: &Output) -> Reply {
    Reply {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A refusal: exit status 1, nothing on standard output, one sentence on standard error, which is given.
pub(crate) fn refusal(reply: &Reply) -> String {
    assert_eq!(reply.status.code(), Some(1), "a refusal exits with 1: {reply:?}");
    assert_eq!(reply.stdout, "", "a refusal prints nothing on standard output: {reply:?}");
    let lines: Vec<&str> = reply.stderr.lines().filter(|line| !line.starts_with('[')).collect();
    let [line] = lines.as_slice() else { panic!("a refusal is one line: {reply:?}") };
    let sentence = line.strip_prefix("xdplb: ");
    sentence.unwrap_or_else(|| panic!("a refusal says who speaks: {line}")).to_owned()
}

/// An answer with this exit status; gives what it printed on standard output.
pub(crate) fn answer(reply: &Reply, code: i32) -> String {
    assert_eq!(reply.status.code(), Some(code), "the exit status should be {code}: {reply:?}");
    reply.stdout.clone()
}

/// Whether an XDP program is on an interface of the balancer's host.
pub(crate) fn has_program(lab: &Lab, interface: &str) -> Result<bool> {
    Ok(!xdp_of(lab, interface)?.is_null())
}

/// How the kernel itself has the program on an interface of the balancer's host.
pub(crate) fn kernels_xdp_mode(lab: &Lab, interface: &str) -> Result<&'static str> {
    // `XDP_ATTACHED_DRV` and `XDP_ATTACHED_SKB` (`include/uapi/linux/if_link.h`).
    match xdp_of(lab, interface)?["mode"].as_u64() {
        Some(1) => Ok("native"),
        Some(2) => Ok("generic"),
        other => bail!("{interface} has no program in one mode: {other:?}"),
    }
}

fn xdp_of(lab: &Lab, interface: &str) -> Result<Value> {
    let shown = lab.exec_in("lb", "ip", &["-j", "link", "show", interface])?;
    let mut links: Value = serde_json::from_slice(&shown.stdout)?;
    Ok(links[0]["xdp"].take())
}

/// That nothing was begun: no program, no pins, no socket.
pub(crate) fn assert_untouched(lab: &Lab, socket: &Path, after: &str) -> Result<()> {
    assert!(!has_program(lab, "xlb0")?, "{after}, no program is on the interface");
    let left: Vec<_> = fs::read_dir(pins(lab)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{after}, nothing is pinned: {left:?}");
    assert!(!socket.exists(), "{after}, no socket is there");
    Ok(())
}
