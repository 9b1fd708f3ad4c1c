//! An ordinary user, a host without bpffs: a sentence that says what to do.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use anyhow::Result;
use lb_tests::{
    Decap, Lab, PATIENCE, Process, Reply, binaries,
    requirements::{self, Need},
};
use tempfile::TempDir;

use crate::setting::{Setting, refusal};

const USERS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("setpriv")];
const MOUNTS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("unshare")];

/// Somebody without any right, with a copy of the program that anybody may run.
struct Nobody {
    home: TempDir,
    program: PathBuf,
}

impl Nobody {
    fn new() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("xlb").tempdir()?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777))?;
        let program = home.path().join("xdplb");
        fs::copy(binaries::xdplb()?, &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { home, program })
    }

    fn xdplb(&self, lab: &Lab, arguments: &[&str]) -> Result<Reply> {
        let mut command: Command = lab.namespace("lb")?.command("setpriv")?;
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&self.program);
        Ok(Reply::from(&command.args(arguments).output()?))
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() -> Result<()> {
    if !requirements::met("an_ordinary_user_is_told_what_is_missing", USERS) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let nobody = Nobody::new()?;
    let socket = setting.lab.directory().join("xdplb.sock").display().to_string();
    let pins = setting.pins().display().to_string();

    // With an agent there is a socket, which not everybody may open.
    for words in ["status", "backend list", "backend drain c1", "flows", "reload", "detach"] {
        let words: Vec<&str> = words.split(' ').collect();
        let arguments = [&["--socket", &socket, "--pin-dir", &pins], &words[..]].concat();
        let sentence = refusal(&nobody.xdplb(&setting.lab, &arguments)?);
        assert!(sentence.contains("run as root or join the socket's group"), "{words:?}: {sentence}");
    }
    setting.agent.xdplb(&["ready"])?;

    // A second agent of theirs gets as far as their rights go.
    let (own_pins, own_socket) = (nobody.path("pins"), nobody.path("sock"));
    let flags = ["run", "--interface", "xlb0", "--vip", "10.77.0.10", "--backend", "10.77.0.11"];
    let arguments = [&flags[..], &["--socket", &own_socket, "--pin-dir", &own_pins]].concat();
    let sentence = refusal(&nobody.xdplb(&setting.lab, &arguments)?);
    assert!(sentence.contains("run xdplb as root"), "it says what to do: {sentence}");
    let held = [&flags[..], &["--socket", &own_socket, "--pin-dir", &pins]].concat();
    let sentence = refusal(&nobody.xdplb(&setting.lab, &held)?);
    assert!(sentence.contains("root"), "the pins of the running agent are not theirs: {sentence}");
    Ok(())
}

#[test]
fn the_pinned_state_is_its_owners_alone() -> Result<()> {
    if !requirements::met("the_pinned_state_is_its_owners_alone", USERS) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    let nobody = Nobody::new()?;
    setting.agent.kill9()?;
    let mode = fs::metadata(setting.pins())?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "whoever opens the directory could hold its lock");
    let pins = setting.pins().display().to_string();
    let socket = nobody.path("no.sock");
    for words in [&["status"][..], &["flows"], &["counters"], &["detach"]] {
        let arguments = [&["--socket", &socket, "--pin-dir", &pins], words].concat();
        let sentence = refusal(&nobody.xdplb(&setting.lab, &arguments)?);
        assert!(sentence.contains("run this as root"), "{words:?}: {sentence}");
    }
    setting.agent.start_again()
}

/// Whether a controller is ready may be asked by everybody; only the pins are root's.
#[test]
fn an_ordinary_user_may_check_a_controller_and_attach_nothing() -> Result<()> {
    if !requirements::met("an_ordinary_user_may_check_a_controller_and_attach_nothing", USERS) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let decap = Decap::on(&lab, "lb")?;
    let nobody = Nobody::new()?;
    let pin_dir = lab.directory().join("bpf/lb").display().to_string();
    let ask = |words: &[&str]| nobody.xdplb(&lab, &[&["--pin-dir", &pin_dir, "decap"], words].concat());
    let wanted = ["--interface", "xlb0", "--vip", "192.0.2.10"];
    let sentence = refusal(&ask(&wanted)?);
    assert!(sentence.contains("root"), "the next step: {sentence}");

    decap.run(&wanted)?;
    for words in [&["--status"][..], &["--remove"]] {
        let sentence = refusal(&ask(words)?);
        assert!(sentence.ends_with("may not be read: run this as root"), "{words:?}: {sentence}");
    }
    let checked = ask(&[&["--check"], &wanted[..]].concat())?;
    assert_eq!(
        (checked.status.code(), checked.stderr.as_str()),
        (Some(1), ""),
        "it is answered: {checked:?}"
    );
    let last = checked.stdout.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("note: whether the program is attached"),
        "what is not known is said: {checked:?}"
    );
    decap.run(&["--status"])?;
    Ok(())
}

/// Where no bpffs is mounted the agent mounts one; in a mount namespace of its own here, so that this host keeps what
/// it has.
#[test]
fn the_agent_mounts_the_bpffs_that_is_missing() -> Result<()> {
    if !requirements::met("the_agent_mounts_the_bpffs_that_is_missing", MOUNTS) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let pins = format!("/sys/fs/bpf/xlb{}", lab.id());
    let socket = lab.directory().join("own.sock").display().to_string();
    let script = "umount -R /sys/fs/bpf 2>/dev/null; exec \"$0\" \"$@\"";
    let mut command = lab.namespace("lb")?.command("unshare")?;
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(binaries::xdplb()?);
    command.args(["run", "--interface", "xlb0", "--vip", "10.77.0.10", "--backend", "10.77.0.11"]);
    command.args(["--pin-dir", &pins, "--socket", &socket]);
    let mut agent = Process::spawn("agent", command, lab.directory())?;
    agent.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
    let seen = format!("/proc/{}/root{pins}/abi", agent.pid());
    assert!(fs::exists(&seen)?, "{seen} is pinned, on the bpffs that the agent sees");
    agent.stop(PATIENCE)?;
    Ok(())
}
