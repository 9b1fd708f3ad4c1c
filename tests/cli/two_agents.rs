//! Two agents: refused on one pin directory, welcome on two.

use anyhow::Result;
use lb_tests::{
    Lab, Load, LoadOptions, PATIENCE, Process, Server, Topology, binaries,
    requirements::{self, LAB},
};

use crate::setting::{API, Setting, answer, refusal, xdplb};

#[test]
fn a_second_on_the_same_pins_is_refused_and_the_first_unharmed() -> Result<()> {
    if !requirements::met("a_second_on_the_same_pins_is_refused_and_the_first_unharmed", LAB) {
        return Ok(());
    }
    let setting = Setting::usual()?;
    let (hold, _) = setting.hold(6)?;
    let socket = setting.lab.directory().join("second.sock").display().to_string();
    for arguments in [&[][..], &["--socket", &socket], &["--socket", &socket, "--discard-flows"]] {
        let sentence = refusal(&setting.run_to_its_end(arguments)?);
        assert!(sentence.contains("another xdplb runs on"), "{arguments:?}: {sentence}");
    }
    // Another directory, but the socket of the first.
    let pins = setting.lab.directory().join("bpf/second").display().to_string();
    let sentence = refusal(&setting.run_to_its_end(&["--pin-dir", &pins])?);
    assert!(sentence.contains("another agent answers on"), "the socket is taken: {sentence}");

    setting.agent.xdplb(&["ready"])?;
    let report = hold.stop()?;
    assert!(report.broken.is_empty(), "nobody noticed: {report:?}");
    Ok(())
}

/// A test's own child stays a zombie until it is waited for, as in a container without an init: neither its process id
/// nor its socket file may keep the next one out.
#[test]
fn a_dead_agent_leaves_no_lock() -> Result<()> {
    if !requirements::met("a_dead_agent_leaves_no_lock", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.stop()?;
    let mut zombie = setting.run(&[])?;
    zombie.signal(libc::SIGKILL);
    wait_until_zombie(zombie.pid())?;
    let mut command = setting.agent.command()?;
    command.args(["run", "--config"]).arg(setting.agent.config_file());
    let next = Process::spawn("next", command, setting.lab.directory())?;
    next.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
    setting.agent.xdplb(&["ready"])?;
    Ok(())
}

/// Waits for the end of a child without waiting for the child.
fn wait_until_zombie(process: u32) -> Result<()> {
    // SAFETY: plain integers and pointers, for which zero is a value.
    let mut what: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call, which only looks (WNOWAIT) at a child of ours.
    let result = unsafe { libc::waitid(libc::P_PID, process, &raw mut what, libc::WEXITED | libc::WNOWAIT) };
    anyhow::ensure!(result == 0, "the agent is not to be waited for: {}", std::io::Error::last_os_error());
    Ok(())
}

/// One on each interface of a host: the client's segment, where the client's own node serves, and the controllers'.
#[test]
fn two_side_by_side_both_serve() -> Result<()> {
    if !requirements::met("two_side_by_side_both_serve", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(2).topology(Topology::TwoArmed).build()?;
    let _servers = Server::start_all(&lab)?;
    let _front_server = Server::start(&lab, "client")?;
    let bpf = lab.directory().join("bpf").display().to_string();
    lb_tests::namespace::run("mount", &["-t", "bpf", "bpf", &bpf])?;
    let start = |name: &str, flags: &[&str]| -> Result<(Process, Vec<String>)> {
        let socket = lab.directory().join(format!("{name}.sock")).display().to_string();
        let common: Vec<String> =
            vec!["--socket".into(), socket, "--pin-dir".into(), format!("{bpf}/{name}")];
        let mut command = lab.namespace("lb")?.command(binaries::xdplb()?)?;
        command.args(&common).arg("run").args(flags);
        let process = Process::spawn(name, command, lab.directory())?;
        process.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
        Ok((process, common))
    };
    let ask = |common: &[String], words: &str| {
        let words = words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        xdplb(&lab, &[common, &words].concat())
    };
    let (mut front, at_front) =
        start("front", &["--interface", "xlb0", "--vip", "10.77.0.10", "--backend", "10.77.0.100"])?;
    let (back, at_back) = start(
        "back",
        &[
            "--interface",
            "xlb1",
            "--vip",
            "10.77.1.2",
            "--backend",
            "c1=10.77.1.11",
            "--backend",
            "c2=10.77.1.12",
        ],
    )?;

    let to_front = LoadOptions::to(([10, 77, 0, 10], API).into()).count(20);
    let to_back = LoadOptions::to(([10, 77, 1, 2], API).into()).from("c1").count(40);
    let report = Load::start(&lab, &to_front)?.finish()?;
    assert_eq!(report.by("client"), 20, "the one at the front serves: {report:?}");
    let report = Load::start(&lab, &to_back)?.finish()?;
    assert_eq!(report.by("c1") + report.by("c2"), 40, "the one at the back serves: {report:?}");

    // One goes, the other stays.
    let told = answer(&ask(&at_front, "detach")?, 0);
    assert!(told.contains("stay 1 for the xdplb on xlb1"), "both need the sysctls: {told}");
    assert!(told.ends_with("the agent has ended\n"), "{told}");
    assert!(front.wait(PATIENCE)?.success(), "it ended well");
    assert!(!crate::setting::has_program(&lab, "xlb0")?, "its program went with it");
    answer(&ask(&at_back, "ready")?, 0);
    let report = Load::start(&lab, &to_back)?.finish()?;
    assert_eq!(report.ok, 40, "the one at the back serves on: {report:?}");
    drop(back);
    Ok(())
}
