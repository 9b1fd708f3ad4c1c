//! `detach` leaves nothing, with and without a living agent, and takes off only what was meant.

use anyhow::Result;
use lb_tests::requirements::{self, LAB};

use crate::setting::{Setting, answer, has_program, refusal};

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

#[test]
fn with_a_living_agent_which_ends() -> Result<()> {
    if !requirements::met("with_a_living_agent_which_ends", LAB) {
        return Ok(());
    }
    let mut setting = Setting::without_servers()?;
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
    let sentence = refusal(&crate::setting::reply(&command.output()?));
    assert!(sentence.contains("repeat with --pin-dir"), "it says whom it would have met: {sentence}");
    setting.agent.xdplb(&["ready"])?;
    assert!(has_program(&setting.lab, "xlb0")?, "the program is where it was");

    // And the other way round: the right directory, a socket on which nobody answers.
    let socket = setting.lab.directory().join("nobody.sock").display().to_string();
    let mut command = setting.agent.command()?;
    command.args(["detach", "--socket", &socket]);
    let sentence = refusal(&crate::setting::reply(&command.output()?));
    assert!(sentence.ends_with("name its --socket"), "somebody holds it: {sentence}");
    setting.agent.xdplb(&["ready"])?;
    Ok(())
}
