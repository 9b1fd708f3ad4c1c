//! What cannot work is refused in one line with its place, and nothing is changed.

use std::fs;

use anyhow::Result;
use lb_tests::{
    Lab,
    requirements::{self, LAB},
};

use crate::setting::{assert_untouched, pins, refusal, xdplb};

/// A configuration, the place of its mistake, and words of the refusal.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\ncolour = 3\n", ":3:1: ", "unknown key \"colour\""),
    (
        "interfaces = [\"xlb0\"]\n[[backends]]\naddress = \"10.77.0.11\"\nname = \"a\"\n\
         [[backends]]\naddress = \"10.77.0.12\"\nname = \"a\"\n",
        ":7:8: ",
        "the backend a is given twice",
    ),
    (
        "interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\n[[backends]]\naddress = \"fd77::11\"\n",
        ":2:9: ",
        "no backend has an IPv4 address for the VIP 10.77.0.10",
    ),
    (
        "interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\n[[backends]]\naddress = \"10.77.0.10\"\n",
        ":2:9: ",
        "10.77.0.10 is a VIP and the address of the backend",
    ),
    (
        "interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\n[[backends]]\naddress = \"10.77.0.2\"\n",
        ":4:11: ",
        "is this host (10.77.0.2 is on xlb0)",
    ),
    (
        "interfaces = [\"xlb7\"]\n[[backends]]\naddress = \"10.77.0.11\"\n",
        ":1:15: ",
        "this host has no interface \"xlb7\"; did you mean \"xlb0\"?",
    ),
    (
        "interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\n[[backends]]\naddress = \"10.77.0.11\"\n\
         [[services]]\nname = \"x\"\nport = 80\n[[services]]\nname = \"y\"\nport = 80\n",
        ":10:8: ",
        "port 80 of 10.77.0.10 belongs to \"x\" and \"y\"",
    ),
    (
        "interfaces = [\"xlb0\"]\nvips = [\"10.77.0.10\"]\n",
        ": ",
        "no backend is given; add a [[backends]] table",
    ),
    (
        "interfaces = [\"xlb0\"]\n[[backends]]\naddress = \"10.77.0.11\"\n\
         [[services]]\nname = \"x\"\nport = 80\nbackends = []\n",
        ":7:12: ",
        "no backend is left for the service \"x\"",
    ),
    (
        "interfaces = [\"xlb0\"]\n[[backends]]\naddress = \"10.77.0.11\"\n[[services]]\nname = \"x\"\nport = 12000\n",
        ":6:8: ",
        "write snat_ports = \"12001-29999\" or move the service",
    ),
    ("interfaces = [\"xlb0\"\n", ":", "this is not TOML"),
];

#[test]
fn a_mistake_in_the_file_is_told_with_its_place_and_changes_nothing() -> Result<()> {
    if !requirements::met("a_mistake_in_the_file_is_told_with_its_place_and_changes_nothing", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let file = lab.directory().join("bad.toml").display().to_string();
    let socket = lab.directory().join("bad.sock");
    let pins = pins(&lab).display().to_string();
    for (text, place, words) in MISTAKES {
        fs::write(&file, text)?;
        let run = ["run", "--config", &file, "--pin-dir", &pins, "--socket", &socket.display().to_string()];
        for arguments in [&run[..], &["check", &file][..]] {
            let sentence = refusal(&xdplb(&lab, arguments)?);
            assert!(
                sentence.starts_with(&format!("{file}{place}")) && sentence.contains(words),
                "{arguments:?} should tell {words:?} at {place:?}: {sentence}"
            );
        }
        assert_untouched(&lab, &socket, words)?;
    }
    Ok(())
}

#[test]
fn a_mistake_in_the_flags_is_told_with_the_flag() -> Result<()> {
    if !requirements::met("a_mistake_in_the_flags_is_told_with_the_flag", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let socket = lab.directory().join("bad.sock");
    let pins = pins(&lab).display().to_string();
    let socket_argument = socket.display().to_string();
    let refused = |flags: &[&str]| -> Result<String> {
        let common = ["--pin-dir", &pins, "--socket", &socket_argument, "run"];
        Ok(refusal(&xdplb(&lab, &[&common[..], flags].concat())?))
    };
    for (flags, sentence) in [
        (&["--backend", "10.77.0.11"][..], "no interface is given; add --interface IF or --config FILE"),
        (
            &["--interface", "xlb9", "--backend", "10.77.0.11"][..],
            "--interface: this host has no interface \"xlb9\"; did you mean \"xlb0\"?",
        ),
        (
            &["--interface", "xlb0", "--backend", "10.77.0.11", "--mode", "dsr-l2"][..],
            "--mode: mode \"dsr-l2\" is not in this version yet; use \"nat\"",
        ),
        (&["--interface", "xlb0"][..], "no backend is given; add --backend IP or --config FILE"),
    ] {
        assert_eq!(refused(flags)?, sentence, "{flags:?}");
        assert_untouched(&lab, &socket, sentence)?;
    }
    let directory = lab.directory().display().to_string();
    let sentence = refused(&["--config", &directory])?;
    assert!(sentence.contains("cannot be read"), "a directory is no file: {sentence}");
    Ok(())
}

/// A word that does not exist is a usage error, before anything else is looked at.
#[test]
fn usage_is_exit_status_2() -> Result<()> {
    if !requirements::met("usage_is_exit_status_2", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    for line in ["", "fly", "backend weight c1 0", "backend add c1", "flows --snat 10.0.0.1", "status --yaml"]
    {
        let reply = xdplb(&lab, &line.split_whitespace().collect::<Vec<_>>())?;
        assert_eq!(reply.status.code(), Some(2), "`xdplb {line}` is a usage error: {reply:?}");
    }
    Ok(())
}

/// An interface that refuses the program ends the start, and the start leaves nothing.
#[test]
fn a_start_that_fails_half_way_leaves_nothing() -> Result<()> {
    if !requirements::met("a_start_that_fails_half_way_leaves_nothing", LAB) {
        return Ok(());
    }
    let setting = crate::setting::Setting::without_servers()?;
    let other = setting.lab.directory().join("bpf/other");
    let socket = setting.lab.directory().join("other.sock");
    let [pins, socket_argument] = [&other, &socket].map(|path| path.display().to_string());
    let reply = setting.run_to_its_end(&["--pin-dir", &pins, "--socket", &socket_argument])?;
    let sentence = refusal(&reply);
    assert!(sentence.contains("another XDP program is on it"), "the interface is taken: {sentence}");
    assert!(!other.exists(), "no pins stay");
    assert!(!socket.exists(), "no socket stays");
    setting.agent.xdplb(&["ready"])?;
    Ok(())
}

/// What is not a bpffs is never mounted over while something is in it.
#[test]
fn a_directory_with_files_is_no_pin_directory() -> Result<()> {
    if !requirements::met("a_directory_with_files_is_no_pin_directory", LAB) {
        return Ok(());
    }
    let lab = Lab::builder().controllers(1).build()?;
    let directory = tempfile::Builder::new().prefix("xlb").tempdir()?;
    fs::write(directory.path().join("SETTINGS"), "somebody's own")?;
    let path = directory.path().display().to_string();
    let flags = ["--interface", "xlb0", "--backend", "10.77.0.11", "--pin-dir", &path];
    let socket = lab.directory().join("bad.sock").display().to_string();
    let sentence = refusal(&xdplb(&lab, &[&["run", "--socket", &socket], &flags[..]].concat())?);
    assert!(sentence.contains("this is no bpffs, and it is not empty"), "it says why: {sentence}");
    let reply = xdplb(&lab, &["detach", "--pin-dir", &path, "--socket", &socket])?;
    assert!(reply.stdout.starts_with("nothing to do: nothing is pinned in"), "nothing of ours: {reply:?}");
    assert!(directory.path().join("SETTINGS").exists(), "the file is still there");
    Ok(())
}
