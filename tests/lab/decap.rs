//! The controller's side of DSR: `xdplb decap` on a node, and tunnels to it that are made by hand.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    PATIENCE, Reply,
    agent::mount_bpffs,
    binaries,
    lab::Lab,
    plan::{Family, Segment},
    process::Process,
};

/// The command line on one node, with pins of its own.
pub struct Decap<'a> {
    lab: &'a Lab,
    node: &'a str,
    pin_dir: PathBuf,
}

impl<'a> Decap<'a> {
    /// Prepares it; nothing is attached yet.
    pub fn on(lab: &'a Lab, node: &'a str) -> Result<Self> {
        Self::beside(lab, node, node)
    }

    /// The same beside a balancer, whose pin directory has this name.
    pub fn beside(lab: &'a Lab, node: &'a str, name: &str) -> Result<Self> {
        let bpffs = lab.directory().join("bpf");
        mount_bpffs(&bpffs)?;
        Ok(Self { lab, node, pin_dir: bpffs.join(name) })
    }

    /// Where `decap` pins, which follows from where the balancer does.
    pub fn pins(&self) -> PathBuf {
        let mut name = self.pin_dir.file_name().unwrap_or_default().to_owned();
        name.push("-decap");
        self.pin_dir.with_file_name(name)
    }

    /// Runs `xdplb decap` with these arguments, whatever its exit status.
    pub fn try_run(&self, arguments: &[&str]) -> Result<Reply> {
        let mut command = self.lab.namespace(self.node)?.command(binaries::xdplb()?)?;
        command.arg("--pin-dir").arg(&self.pin_dir).arg("decap").args(arguments);
        Ok(Reply::from(&command.output()?))
    }

    /// Runs one that shall succeed; gives what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let reply = self.try_run(arguments)?;
        let shown = arguments.join(" ");
        ensure!(
            reply.status.success(),
            "xdplb decap {shown} failed ({}): {}",
            reply.status,
            reply.stderr.trim()
        );
        Ok(reply.stdout)
    }

    /// `--status --json`.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["--status", "--json"])?)?)
    }

    /// What `--check` with these arguments tells to run, with what it is about.
    pub fn findings(&self, arguments: &[&str]) -> Result<Vec<(String, String)>> {
        let reply = self.try_run(&[&["--check", "--json"], arguments].concat())?;
        let checked: Value =
            serde_json::from_str(&reply.stdout).with_context(|| format!("no JSON: {reply:?}"))?;
        let findings = checked["findings"].as_array().context("no findings")?;
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = findings.iter().map(|one| (text(one, "what"), text(one, "run"))).collect();
        ensure!(checked["ready"] == findings.is_empty(), "whether it is ready follows from that: {checked}");
        ensure!(reply.status.success() == findings.is_empty(), "and the exit status too: {reply:?}");
        Ok(found)
    }

    /// Runs what a finding says, as somebody would who has it from the screen.
    pub fn obey(&self, run: &str) -> Result<()> {
        let program = binaries::xdplb()?;
        let folder = program.parent().unwrap_or(Path::new("."));
        let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap_or_default());
        let mut command: Command = self.lab.namespace(self.node)?.command("sh")?;
        let output = command.args(["-c", run]).env("PATH", path).output()?;
        ensure!(
            output.status.success(),
            "`{run}` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

/// What puts packets for the VIP into tunnels, on the balancer's node. It ends with its handle.
pub struct Tunnel(#[expect(dead_code, reason = "it is held for its end")] Process);

impl Tunnel {
    /// Takes the VIP from the balancer's host, which answers for nothing then, and leads the client's packets to it.
    pub fn prepare(lab: &Lab) -> Result<()> {
        let mac = mac_of(lab, "lb")?;
        for (family, prefix) in [(Family::V4, 24), (Family::V6, 64)] {
            let vip = lab.plan().vip(family);
            lab.exec_in("lb", "ip", &["addr", "del", &format!("{vip}/{prefix}"), "dev", "xlb0"])?;
            let neighbour =
                ["neigh", "replace", &vip.to_string(), "lladdr", &mac, "dev", "xlb0", "nud", "permanent"];
            lab.exec_in("client", "ip", &neighbour)?;
        }
        Ok(())
    }

    /// Begins to send what comes for the VIP of a family to a controller, by IPIP or by GUE to a port, in packets of either
    /// family.
    pub fn start(
        lab: &Lab,
        vip: Family,
        outer: Family,
        controller: u8,
        gue_port: Option<u16>,
    ) -> Result<Self> {
        let mut command = lab.namespace("lb")?.command(binaries::lab_node()?)?;
        let mac = mac_of(lab, &format!("c{controller}"))?;
        command.args(["tunnel", "--interface=xlb0", &format!("--to-mac={mac}")]);
        command.arg(format!("--vip={}", lab.plan().vip(vip)));
        command.arg(format!("--from={}", Segment::Front.address(outer, 2)));
        command.arg(format!("--to={}", lab.plan().controller(outer, controller)));
        command.args(gue_port.map(|port| format!("--gue-port={port}")));
        let process = Process::spawn("tunnel", command, lab.directory())?;
        process.wait_for_line("packets", PATIENCE, |line| line == "ready")?;
        Ok(Self(process))
    }
}

/// The link-layer address of a node's first interface.
fn mac_of(lab: &Lab, node: &str) -> Result<String> {
    let shown = lab.exec_in(node, "ip", &["-j", "link", "show", "xlb0"])?;
    let links: Value = serde_json::from_slice(&shown.stdout)?;
    links[0]["address"].as_str().map(str::to_owned).context("an interface has an address")
}
