//! `xdplb backend …`: the running agent and the file change together, or not at all.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use anyhow::Result;
use lb_tests::{
    AgentOptions, Lab, PATIENCE, Process, binaries,
    requirements::{self, LAB},
    status,
};

use crate::setting::{Setting, answer, pins, refusal, xdplb};

/// Comments and an order of its own.
fn commented() -> Result<Setting> {
    let lab = Lab::builder().controllers(2).build()?;
    let options = AgentOptions {
        top: "# Ask the network team before you change this.\nxdp_mode = \"generic\" # they said so\n".into(),
        tables: "# At the end on purpose.\n[timeouts]\nclosed = \"5s\"\n".into(),
        ..AgentOptions::default()
    };
    let agent = lb_tests::Agent::start(&lab, options)?;
    Ok(Setting { agent, servers: Vec::new(), lab })
}

#[test]
fn every_edit_changes_the_agent_and_the_file_and_keeps_the_rest() -> Result<()> {
    if !requirements::met("every_edit_changes_the_agent_and_the_file_and_keeps_the_rest", LAB) {
        return Ok(());
    }
    let setting = commented()?;
    let before = setting.file()?;
    // The words, whose entry is looked at, and what it then is.
    for (words, name, admin, weight) in [
        ("backend drain c2", "c2", "draining", 1),
        ("backend disable c2", "c2", "disabled", 1),
        ("backend enable c2", "c2", "enabled", 1),
        ("backend weight c2 7", "c2", "enabled", 7),
        ("backend add c3=10.77.0.13 --weight 2", "c3", "enabled", 2),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        for round in ["once", "twice"] {
            setting.agent.xdplb(&words)?;
            let status = setting.agent.status()?;
            let entry =
                status::backend(&status, name).unwrap_or_else(|| panic!("{name} is there: {status:#}"));
            assert_eq!(
                (&entry["admin"], &entry["weight"]),
                (&admin.into(), &weight.into()),
                "{words:?} {round}"
            );
        }
        let check = setting.agent.xdplb(&["check", &setting.agent.config_file().display().to_string()])?;
        let kept = format!("name = \"{name}\"");
        let (_, entry) = check.split_once(&kept).unwrap_or_else(|| panic!("the file has {name}: {check}"));
        let entry: Vec<&str> = entry.lines().take(4).collect();
        assert!(
            entry.contains(&format!("weight = {weight}").as_str()),
            "{words:?} is in the file: {entry:?}"
        );
        assert!(
            entry.contains(&format!("state = \"{admin}\"").as_str()),
            "{words:?} is in the file: {entry:?}"
        );
    }
    setting.agent.xdplb(&["backend", "remove", "c3"])?;
    let again = setting.agent.xdplb(&["backend", "remove", "c3"])?;
    let known =
        ["there is no backend c3", "c3 is removed already"].iter().any(|words| again.starts_with(words));
    assert!(known, "removing twice is no failure: {again}");
    let after = setting.file()?;
    assert!(!after.contains("c3"), "c3 is gone from the file: {after}");
    let mut lines = after.lines();
    for line in before.lines() {
        assert!(lines.any(|kept| kept == line), "{line:?} stays where it was: {after}");
    }
    Ok(())
}

#[test]
fn runtime_leaves_the_file_alone_and_reload_tells_what_it_drops() -> Result<()> {
    if !requirements::met("runtime_leaves_the_file_alone_and_reload_tells_what_it_drops", LAB) {
        return Ok(());
    }
    let setting = commented()?;
    let before = setting.file()?;
    setting.agent.xdplb(&["backend", "drain", "c1", "--runtime"])?;
    setting.agent.xdplb(&["backend", "weight", "c2", "9", "--runtime"])?;
    setting.agent.xdplb(&["backend", "add", "c9=10.77.0.19", "--runtime"])?;
    assert_eq!(setting.file()?, before, "the file is as it was");
    assert_eq!(status::admin(&setting.agent.status()?, "c1"), Some("draining"), "the agent is not");

    // An edit of the file goes beside them.
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    assert_eq!(status::admin(&setting.agent.status()?, "c1"), Some("draining"), "what --runtime did stays");

    let told = setting.agent.xdplb(&["reload"])?;
    for change in ["drain c1", "weight c2 9", "add c9=10.77.0.19"] {
        assert!(told.contains(change), "{change} is dropped, and said so: {told}");
    }
    let status = setting.agent.status()?;
    assert_eq!(status::admin(&status, "c1"), Some("enabled"), "the file is the truth again");
    assert_eq!(status::admin(&status, "c2"), Some("disabled"), "and has what was edited in it");
    assert_eq!(status::backends(&status), ["c1", "c2"], "c9 was never in it");
    Ok(())
}

#[test]
fn a_file_that_somebody_else_changed_is_not_edited() -> Result<()> {
    if !requirements::met("a_file_that_somebody_else_changed_is_not_edited", LAB) {
        return Ok(());
    }
    let setting = commented()?;
    let theirs = setting.file()? + "\n# mine\n";
    fs::write(setting.agent.config_file(), &theirs)?;
    let sentence = refusal(&setting.agent.try_xdplb(&["backend", "drain", "c1"])?);
    assert!(
        sentence.contains("has changed since it was loaded; run `xdplb reload`"),
        "it says why: {sentence}"
    );
    assert_eq!(setting.file()?, theirs, "nothing was written");
    assert_eq!(status::admin(&setting.agent.status()?, "c1"), Some("enabled"), "nothing was changed");
    setting.agent.xdplb(&["reload"])?;
    setting.agent.xdplb(&["backend", "drain", "c1"])?;
    assert!(setting.file()?.contains("# mine"), "theirs is still in it");
    Ok(())
}

#[test]
fn symbolic_link_mode_and_owner_are_kept() -> Result<()> {
    if !requirements::met("symbolic_link_mode_and_owner_are_kept", LAB) {
        return Ok(());
    }
    let setting = commented()?;
    let link = setting.agent.config_file();
    let folder = setting.lab.directory().join("kept");
    fs::create_dir(&folder)?;
    let target = folder.join("real.toml");
    fs::rename(&link, &target)?;
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640))?;
    chown(&target, Some(1), Some(2))?;
    symlink(&target, &link)?;
    setting.agent.xdplb(&["backend", "drain", "c1"])?;
    assert!(fs::symlink_metadata(&link)?.is_symlink(), "the link is a link still");
    let kept = fs::metadata(&target)?;
    assert_eq!((kept.mode() & 0o777, kept.uid(), kept.gid()), (0o640, 1, 2), "mode and owner stay");
    assert!(fs::read_to_string(&target)?.contains("draining"), "what it leads to was edited");
    let left: Vec<_> = fs::read_dir(&folder)?.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["real.toml"], "nothing temporary stays");
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_and_changes_nothing() -> Result<()> {
    if !requirements::met("what_cannot_work_is_refused_and_changes_nothing", LAB) {
        return Ok(());
    }
    let setting = commented()?;
    let (before, status_before) = (setting.file()?, setting.agent.xdplb(&["backend", "list"])?);
    for (words, why) in [
        ("backend add c1=10.77.0.99", "there is a backend \"c1\" already"),
        ("backend add c9=10.77.0.10", "is a VIP and the address of the backend \"c9\""),
        ("backend add c9=10.77.0.2", "the backend \"c9\" is this host (10.77.0.2 is on xlb0)"),
        ("backend add c9=10.77.0.11", "is the address of two backends"),
        ("backend add c9=fe80::1", "is a link-local address"),
        ("backend add c/9=10.77.0.19", "cannot be a name"),
        ("backend drain c9", "there is no backend \"c9\""),
        ("backend weight c9 3", "there is no backend \"c9\""),
        ("flows --backend c9", "no backend is called c9"),
        ("flows reset --backend c9", "no backend is called c9"),
        ("backend drain c9 --wait", "there is no backend \"c9\""),
    ] {
        let reply = setting.agent.try_xdplb(&words.split(' ').collect::<Vec<_>>())?;
        let sentence = if words == "flows --backend c9" {
            reply.stderr.trim_start_matches("xdplb: ").to_owned()
        } else {
            refusal(&reply)
        };
        assert!(sentence.contains(why), "{words}: {sentence}");
    }
    setting.agent.xdplb(&["backend", "remove", "c2"])?;
    let sentence = refusal(&setting.agent.try_xdplb(&["backend", "remove", "c1"])?);
    assert!(sentence.contains("is the last backend"), "somebody must serve: {sentence}");
    setting.agent.xdplb(&["backend", "add", "c2=10.77.0.12"])?;
    assert_eq!(setting.agent.xdplb(&["backend", "list"])?, status_before, "the agent is as it was");
    assert_eq!(setting.file()?.contains("c9"), before.contains("c9"), "the file never heard of c9");

    // What is possible but useless is told.
    let told = setting.agent.xdplb(&["backend", "add", "c6=fd77::16"])?;
    assert!(told.contains("note: nobody is sent to fd77::16"), "no VIP is IPv6: {told}");
    Ok(())
}

#[test]
fn an_agent_without_a_file_says_so() -> Result<()> {
    if !requirements::met("an_agent_without_a_file_says_so", LAB) {
        return Ok(());
    }
    // A lab's agent has mounted the bpffs before this one.
    let mut setting = Setting::without_servers()?;
    setting.agent.xdplb(&["detach"])?;
    setting.agent.stop()?;
    let socket = setting.lab.directory().join("flags.sock").display().to_string();
    let pins = pins(&setting.lab).display().to_string();
    let common = ["--socket", &socket, "--pin-dir", &pins];
    let mut command = setting.lab.namespace("lb")?.command(binaries::xdplb()?)?;
    command.args(common).args(["run", "--interface", "xlb0", "--vip", "10.77.0.10"]);
    command.args(["--backend", "c1=10.77.0.11", "--backend", "c2=10.77.0.12"]);
    let agent = Process::spawn("flags", command, setting.lab.directory())?;
    agent.wait_for_line("ready", PATIENCE, |line| line == "ready")?;
    let ask = |words: &[&str]| xdplb(&setting.lab, &[&common[..], words].concat());

    let told = answer(&ask(&["backend", "drain", "c1"])?, 0);
    assert!(told.contains("note: there is no configuration file"), "this does not last: {told}");
    let told = answer(&ask(&["backend", "enable", "c1", "--runtime"])?, 0);
    assert!(!told.contains("note:"), "who says --runtime knows: {told}");
    let sentence = refusal(&ask(&["reload"])?);
    assert!(sentence.contains("started without --config"), "there is nothing to read: {sentence}");
    assert_eq!(agent.lines(), ["ready"], "standard output has one line");
    Ok(())
}
