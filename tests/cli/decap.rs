//! `xdplb decap` as users and enemies meet it.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::Result;
use lb_tests::{
    Decap, Lab, Topology,
    requirements::{self, LAB},
};
use serde_json::{Value, json};

use crate::setting::{Setting, answer, has_program, kernels_xdp_mode, refusal};

const VIP: &str = "192.0.2.10";
const VIP_V6: &str = "2001:db8::10";

fn lab() -> Result<Lab> {
    Lab::builder().controllers(1).topology(Topology::TwoArmed).build()
}

/// What the kernel calls the program on an interface: every load gets another number.
fn program_id(lab: &Lab, interface: &str) -> Result<Value> {
    let shown = lab.exec_in("lb", "ip", &["-j", "link", "show", interface])?;
    let links: Value = serde_json::from_slice(&shown.stdout)?;
    Ok(links[0]["xdp"]["prog"]["id"].clone())
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence_and_nothing_is_begun() -> Result<()> {
    if !requirements::met("what_cannot_be_is_refused_in_one_sentence_and_nothing_is_begun", LAB) {
        return Ok(());
    }
    let lab = lab()?;
    let decap = Decap::on(&lab, "lb")?;
    let many: Vec<String> = (0..65).map(|host| format!("--vip=192.0.2.{host}")).collect();
    let many: Vec<&str> =
        ["--interface", "xlb0"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let nothing_pinned = format!(
        "no program is pinned in {}: attach it with `xdplb decap --interface IF --vip IP`",
        decap.pins().display()
    );
    for (arguments, sentence) in [
        (&[][..], "no VIP is given; add --vip IP, the address that the clients use"),
        (&["--vip", VIP], "no interface is given; add --interface IF, by which the tunnels come"),
        (&["--interface", "xlb0"], "no VIP is given; add --vip IP, the address that the clients use"),
        (
            &["--interface", "xlb9", "--vip", VIP],
            "--interface: this host has no interface \"xlb9\"; did you mean \"xlb0\"?",
        ),
        (
            &["--interface", "xlb0", "--vip", "127.0.0.1"],
            "--vip: 127.0.0.1 is nobody's address; give the one that the clients use",
        ),
        (&many, "--vip: 65 VIPs are given and 64 are possible; leave some out"),
        (&["--check"], "no VIP is given; add --vip IP, the address that the clients use"),
        (&["--check", "--vip", VIP], "no interface is given; add --interface IF, by which the tunnels come"),
        (&["--status"], &nothing_pinned),
        (&["--status", "--json"], &nothing_pinned),
    ] {
        assert_eq!(refusal(&decap.try_run(arguments)?), sentence, "{arguments:?}");
        assert!(!has_program(&lab, "xlb0")?, "after {arguments:?} no program is on the interface");
        assert!(!decap.pins().exists(), "after {arguments:?} nothing is pinned");
    }
    let sentence = refusal(&decap.try_run(&["--interface", "lo", "--vip", VIP, "--xdp-mode", "native"])?);
    assert!(sentence.starts_with("XDP cannot be attached to lo: "), "the kernel's reason: {sentence}");
    assert!(!decap.pins().exists(), "a start that fails half way leaves nothing");
    for usage in
        [&["--gue-port", "0"][..], &["--check", "--remove"], &["--remove", "--vip", VIP], &["--json"]]
    {
        assert_eq!(decap.try_run(usage)?.status.code(), Some(2), "{usage:?} is a usage error");
    }
    Ok(())
}

#[test]
fn the_same_again_changes_nothing_and_other_vips_take_their_place() -> Result<()> {
    if !requirements::met("the_same_again_changes_nothing_and_other_vips_take_their_place", LAB) {
        return Ok(());
    }
    let lab = lab()?;
    let decap = Decap::on(&lab, "lb")?;
    let one = ["--interface", "xlb0", "--vip", VIP];
    let words = "xlb0 (generic) takes packets to 192.0.2.10 out of ipip, and out of gue on port 6080\n";
    assert_eq!(decap.run(&one)?, words);
    assert_eq!(kernels_xdp_mode(&lab, "xlb0")?, "generic", "as the driver suggests");
    let first = program_id(&lab, "xlb0")?;
    assert_eq!(decap.run(&one)?, format!("nothing to do: {words}"));
    assert_eq!(program_id(&lab, "xlb0")?, first, "it is still the same program");
    let mode = fs::metadata(decap.pins())?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the pins are their owner's alone");

    let other = ["--interface", "xlb0", "--vip", VIP_V6, "--vip", "192.0.2.11", "--gue-port", "7000"];
    decap.run(&other)?;
    assert_ne!(program_id(&lab, "xlb0")?, first, "another program, with other VIPs");
    let status = decap.status()?;
    assert_eq!(status["interfaces"], json!([{"name": "xlb0", "xdp_mode": "generic"}]));
    assert_eq!((&status["vips"], &status["gue_port"]), (&json!(["192.0.2.11", VIP_V6]), &json!(7000)));
    assert_eq!(status["counters"]["taken_from_ipip"], 0, "every counter is there: {status}");
    assert_eq!(status["counters"]["drop_congestion_unheard"], 0, "every counter is there: {status}");
    let text = decap.run(&["--status"])?;
    assert!(text.starts_with("interfaces  xlb0 (generic)\nvips        192.0.2.11, 2001:db8::10\n"), "{text}");

    decap.run(&[&other[..], &["--xdp-mode", "native", "--interface", "xlb1"]].concat())?;
    assert_eq!([kernels_xdp_mode(&lab, "xlb0")?, kernels_xdp_mode(&lab, "xlb1")?], ["native"; 2]);
    let words = decap.run(&["--interface", "xlb1", "--vip", VIP])?;
    assert!(words.starts_with("xlb1 (native) takes"), "it stays as it is attached: {words}");
    assert!(!has_program(&lab, "xlb0")?, "an interface that is not named is let go");

    assert_eq!(decap.run(&["--remove"])?, "the program is off xlb1 and the pinned state is gone\n");
    assert!(!has_program(&lab, "xlb1")? && !decap.pins().exists(), "nothing is left");
    assert!(
        decap.run(&["--remove"])?.starts_with("nothing to do: nothing is pinned in "),
        "twice is no error"
    );
    Ok(())
}

#[test]
fn the_check_asks_for_what_is_attached_where_it_is_not_told() -> Result<()> {
    if !requirements::met("the_check_asks_for_what_is_attached_where_it_is_not_told", LAB) {
        return Ok(());
    }
    let lab = lab()?;
    let decap = Decap::on(&lab, "lb")?;
    let arguments = ["--interface", "xlb0", "--vip", VIP];
    let about_program = |findings: &[(String, String)]| {
        findings
            .iter()
            .filter(|(_, run)| run.starts_with("xdplb "))
            .map(|(what, _)| what.clone())
            .collect::<Vec<_>>()
    };
    let findings = decap.findings(&arguments)?;
    assert_eq!(about_program(&findings), ["nothing on xlb0 takes packets out of tunnels"]);
    let text = answer(&decap.try_run(&[&["--check"], &arguments[..]].concat())?, 1);
    assert_eq!(text.lines().count(), findings.len(), "one line for each finding: {text}");
    assert!(
        text.starts_with("not ready: no interface has 192.0.2.10, so nothing here answers for it; run `ip"),
        "{text}"
    );

    decap.run(&arguments)?;
    assert_eq!(about_program(&decap.findings(&[])?), <[&str; 0]>::default(), "it is what was asked for");
    assert_eq!(
        about_program(&decap.findings(&["--vip", VIP_V6])?),
        ["the program does not know 2001:db8::10"]
    );
    for (_, run) in decap.findings(&[])? {
        decap.obey(&run)?;
    }
    let ready = answer(&decap.try_run(&["--check"])?, 0);
    assert_eq!(ready, "ready: this controller takes packets to 192.0.2.10 by xlb0\n");
    Ok(())
}

/// A controller that is a balancer too: two programs, two pin directories, and one does not fit where the other is.
#[test]
fn a_balancer_on_the_same_host_is_left_alone() -> Result<()> {
    if !requirements::met("a_balancer_on_the_same_host_is_left_alone", LAB) {
        return Ok(());
    }
    let setting = Setting::without_servers()?;
    let decap = Decap::beside(&setting.lab, "lb", "xdplb")?;
    let sentence = refusal(&decap.try_run(&["--interface", "xlb0", "--vip", VIP])?);
    assert!(sentence.contains("another XDP program is on it"), "the interface is taken: {sentence}");
    assert!(!decap.pins().exists() && setting.pins().exists(), "the balancer's pins are where they were");
    decap.run(&["--interface", "lo", "--vip", VIP])?;
    setting.agent.xdplb(&["ready"])?;
    setting.agent.xdplb(&["detach"])?;
    assert!(decap.pins().exists() && !setting.pins().exists(), "each has its own");
    decap.run(&["--remove"])?;
    Ok(())
}
