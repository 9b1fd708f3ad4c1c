//! `detach` leaves nothing, with and without a living agent, and takes off only what was meant.

use anyhow::Result;
use lb_tests::requirements::{self, LAB};

use crate::setting::{Setting, answer, has_program, refusal};

/// The two sysctls of the balancer's host, first IPv4's.
const SYSCTLS: [&str; 2] = ["net.ipv4.conf.lo.forwarding", "net.ipv6.conf.lo.forwarding"];

fn sysctls(setting: &Setting) -> Result<String> {
    let shown = setting.lab.exec_in("lb", "sysctl", &[&["-n"], &SYSCTLS[..]].concat())?;
    Ok(String::from_utf8_lossy(&shown.stdout).split_whitespace().collect::<Vec<_>>().join(" "))
}

fn set_sysctls(setting: &Setting, values: [u8; 2]) -> Result<()> {
    let pairs = SYSCTLS.iter().zip(values).map(|(name, value)| format!("{name}={value}"));
    setting.lab.exec_in(
        "lb",
        "sysctl",
        &[&["-q", "-w"], &*pairs.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>()].concat(),
    )?;
    Ok(())
}

/// The neighbours of the balancer's host that somebody has the kernel manage.
fn managed(setting: &Setting) -> Result<Vec<String>> {
    let shown = setting.lab.exec_in("lb", "ip", &["neigh", "show"])?;
    let all = String::from_utf8_lossy(&shown.stdout).into_owned();
    Ok(all
        .lines()
        .filter(|line| line.contains("managed") || line.contains("extern_learn"))
        .map(str::to_owned)
        .collect())
}

fn assert_gone(setting: &Setting) -> Result<()> {
    assert!(!has_program(&setting.lab, "xlb0")?, "no program is left on the interface");
    assert!(!setting.pins().exists(), "no pin is left");
    for words in ["status", "backend list", "flows", "counters", "ready"] {
        let sentence = refusal(&setting.agent.try_xdplb(&words.split(' ').collect::<Vec<_>>())?);
        assert!(sentence.contains("nothing is pinned in"), "{words} says that there is nothing: {sentence}");
    }
    let told = answer(&setting.agent.try_xdplb(&["detach"])?, 0);
    assert!(told.starts_with("nothing to do"), "twice is no failure: {told}");
    Ok(())
}

#[test]
fn without_an_agent() -> Result<()> {
    if !requirements::met("without_an_agent", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    assert!(has_program(&setting.lab, "xlb0")?, "the program is on the interface");
    setting.agent.kill9()?;
    assert!(has_program(&setting.lab, "xlb0")?, "and stays there without an agent");
    let told = answer(&setting.agent.try_xdplb(&["detach"])?, 0);
    assert_eq!(told, "the programs are off xlb0 and the pinned state is gone\n");
    assert_gone(&setting)
}

/// What is changed of the host is remembered by what is pinned, so that it is known when no agent lives, and to the next.
#[test]
fn the_host_gets_back_what_it_had() -> Result<()> {
    if !requirements::met("the_host_gets_back_what_it_had", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    for (before, offline) in [([0, 0], false), ([0, 1], false), ([1, 0], true), ([1, 1], true)] {
        setting.agent.xdplb(&["detach"])?;
        drop(setting.agent.stop());
        set_sysctls(&setting, before)?;
        setting.agent.start_again()?;
        assert_eq!(sysctls(&setting)?, "1 1", "the look-up needs both");
        assert_eq!(managed(&setting)?.len(), 2, "the kernel keeps both controllers resolved");
        // The next agent finds them set, and does not know by that who has set them.
        setting.agent.kill9()?;
        setting.agent.start_again()?;
        if offline {
            setting.agent.kill9()?;
        }
        setting.agent.xdplb(&["detach"])?;
        let wanted = before.map(|value| value.to_string()).join(" ");
        assert_eq!(sysctls(&setting)?, wanted, "as they were, offline {offline}");
        assert_eq!(managed(&setting)?, Vec::<String>::new(), "offline {offline}");
        if offline {
            setting.agent.start_again()?;
        }
    }
    Ok(())
}

/// An administrator's own neighbour is not the agent's to let go.
#[test]
fn a_neighbour_of_the_administrators_stays() -> Result<()> {
    if !requirements::met("a_neighbour_of_the_administrators_stays", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let add = ["neigh", "add", "10.77.0.99", "dev", "xlb0", "managed", "extern_learn"];
    setting.lab.exec_in("lb", "ip", &add)?;
    assert_eq!(managed(&setting)?.len(), 3, "two controllers and one that is somebody's");
    setting.agent.xdplb(&["detach"])?;
    let left = managed(&setting)?;
    assert!(left.len() == 1 && left[0].starts_with("10.77.0.99 "), "{left:?}");
    Ok(())
}

#[test]
fn an_agent_that_fails_to_start_gives_back_what_it_took() -> Result<()> {
    if !requirements::met("an_agent_that_fails_to_start_gives_back_what_it_took", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.xdplb(&["detach"])?;
    drop(setting.agent.stop());
    set_sysctls(&setting, [0, 0])?;
    // The loopback takes no link of XDP in driver mode.
    let sentence = refusal(&setting.run_to_its_end(&[
        "--interface",
        "xlb0",
        "--interface",
        "lo",
        "--xdp-mode",
        "native",
    ])?);
    assert!(sentence.contains("XDP cannot be attached to lo"), "{sentence}");
    assert_eq!(sysctls(&setting)?, "0 0", "nothing is left behind");
    assert_eq!(managed(&setting)?, Vec::<String>::new(), "nothing is left behind");
    assert!(!setting.pins().exists() && !has_program(&setting.lab, "xlb0")?, "nothing is left behind");
    Ok(())
}

#[test]
fn with_a_living_agent_which_ends() -> Result<()> {
    if !requirements::met("with_a_living_agent_which_ends", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    // The next agent may come at once: the one that was asked has ended when that is said.
    for _ in 0..5 {
        let told = setting.agent.xdplb(&["detach"])?;
        let said = "the programs are off xlb0 and the pinned state is gone\nthe agent has ended\n";
        assert_eq!(told, said, "as it is when it is printed");
        let mut next = setting.run(&[])?;
        assert!(setting.agent.stop()?.success(), "the former agent ended well");
        next.stop(lb_tests::PATIENCE)?;
        setting.agent.start_again()?;
    }
    setting.agent.xdplb(&["detach"])?;
    assert!(setting.agent.stop()?.success(), "the agent ended well");
    assert_gone(&setting)?;
    setting.agent.start_again()?;
    setting.agent.xdplb(&["ready"])?;
    Ok(())
}

#[test]
fn when_the_agent_was_told_to() -> Result<()> {
    if !requirements::met("when_the_agent_was_told_to", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
    setting.agent.stop()?;
    let mut agent = setting.run(&["--detach-on-exit"])?;
    assert!(agent.stop(lb_tests::PATIENCE)?.success(), "the agent ended well");
    assert_gone(&setting)
}

/// Two agents on one host, and only the socket of the wrong one at hand.
#[test]
fn another_agents_state_is_not_taken_off() -> Result<()> {
    if !requirements::met("another_agents_state_is_not_taken_off", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let other = setting.lab.directory().join("bpf/other").display().to_string();
    let mut command = setting.agent.command()?;
    command.args(["detach", "--pin-dir", &other]);
    let sentence = refusal(&lb_tests::Reply::from(&command.output()?));
    assert!(sentence.contains("repeat with --pin-dir"), "it says whom it would have met: {sentence}");
    setting.agent.xdplb(&["ready"])?;
    assert!(has_program(&setting.lab, "xlb0")?, "the program is where it was");

    // And the other way round: the right directory, a socket on which nobody answers.
    let socket = setting.lab.directory().join("nobody.sock").display().to_string();
    let mut command = setting.agent.command()?;
    command.args(["detach", "--socket", &socket]);
    let sentence = refusal(&lb_tests::Reply::from(&command.output()?));
    assert!(sentence.ends_with("name its --socket"), "somebody holds it: {sentence}");
    setting.agent.xdplb(&["ready"])?;
    Ok(())
}
