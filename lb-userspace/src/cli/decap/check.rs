//! `xdplb decap --check`: reads what the host is like, and tells what is to be done. It changes nothing and needs no right
//! but to read.

use std::{fmt::Write as _, net::IpAddr, path::Path};

use serde::Serialize;

use super::{
    attach::named,
    is_pinned, listed,
    readiness::{Attached, Finding, Host, Wanted, findings},
    tunnels,
};
use crate::{
    cli::{
        Exit,
        args::{DEFAULT_PIN_DIR, DecapArgs},
        commands::print_json,
        put,
    },
    kernel::{
        attach,
        decap::{Pinned, Tunnels},
        pins,
    },
    net::{Conduct, Facts, Netlink},
};
use lb_common::wire::GUE_PORT;

/// Somebody far away, of each family: addresses that nobody has (RFC 5737, RFC 3849).
const FAR_AWAY: [&str; 2] = ["198.51.100.1", "2001:db8::1"];

/// What `--check --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    ready: bool,
    findings: Vec<Found<'a>>,
}

/// One finding.
#[derive(Serialize)]
struct Found<'a> {
    blocks: bool,
    what: &'a str,
    run: &'a str,
}

impl<'a> From<&'a Finding> for Found<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { blocks, what, run } = finding;
        Self { blocks: *blocks, what, run }
    }
}

/// Checks it, and prints what is found.
pub(super) async fn check(pin_dir: &Path, directory: &Path, args: &DecapArgs) -> anyhow::Result<Exit> {
    let netlink = Netlink::open()?;
    let facts = netlink.facts().await?;
    let attached = attached(directory, &facts);
    let (names, tunnels) = asked_for(args, &attached)?;
    let wanted = Wanted {
        interfaces: named(&facts, &names)?,
        tunnels: &tunnels,
        attach: attach_command(pin_dir, &names, &tunnels),
    };
    let host = host(&netlink, &facts, attached).await;
    let findings = findings(&wanted, &host);
    let ready = !findings.iter().any(|finding| finding.blocks);
    if args.json {
        print_json(&Checked { ready, findings: findings.iter().map(Found::from).collect() })?;
    } else {
        put(&text(&findings, ready.then(|| format!("{} by {}", listed(&tunnels.vips), names.join(", ")))));
    }
    Ok(if ready { Exit::Done } else { Exit::Refused })
}

/// One line for each finding, and one for a controller that is ready.
fn text(findings: &[Finding], ready: Option<String>) -> String {
    let mut text = String::new();
    for Finding { blocks, what, run } in findings {
        let kind = if *blocks { "not ready" } else { "note" };
        let _infallible = writeln!(text, "{kind}: {what}; run `{run}`");
    }
    if let Some(what) = ready {
        let _infallible = writeln!(text, "ready: this controller takes packets to {what}");
    }
    text
}

/// What is attached now, to interfaces that are there.
fn attached(directory: &Path, facts: &Facts) -> Attached {
    let pinned =
        is_pinned(directory).ok().map(|is_pinned| if is_pinned { Pinned::read(directory) } else { Ok(None) });
    match pinned {
        Some(Ok(pinned)) => Attached::Known(pinned.map(|mut pinned| {
            pinned.interfaces.retain(|name| {
                let index = facts.by_name(name).map(|interface| interface.index);
                attach::pinned_interface(&pins::link_path(directory, name)).ok() == index
            });
            pinned
        })),
        _ => Attached::Unknown,
    }
}

/// What the flags ask for, and what is attached where they ask for nothing.
fn asked_for(args: &DecapArgs, attached: &Attached) -> anyhow::Result<(Vec<String>, Tunnels)> {
    let known = if let Attached::Known(Some(pinned)) = attached { Some(pinned) } else { None };
    let names = match known {
        Some(pinned) if args.interfaces.is_empty() => pinned.interfaces.clone(),
        _ => args.interfaces.clone(),
    };
    let port = args.gue_port.or_else(|| known.map(|pinned| pinned.tunnels.gue_port));
    let tunnels = match known {
        Some(pinned) if args.vips.is_empty() => {
            Tunnels { gue_port: port.unwrap_or(GUE_PORT), ..pinned.tunnels.clone() }
        }
        _ => tunnels(&args.vips, port)?,
    };
    Ok((names, tunnels))
}

/// The command that attaches the program as it is asked for.
fn attach_command(pin_dir: &Path, interfaces: &[String], tunnels: &Tunnels) -> String {
    let mut command = String::from("xdplb decap");
    if pin_dir != Path::new(DEFAULT_PIN_DIR) {
        let _infallible = write!(command, " --pin-dir {}", pin_dir.display());
    }
    for interface in interfaces {
        let _infallible = write!(command, " --interface {interface}");
    }
    for vip in &tunnels.vips {
        let _infallible = write!(command, " --vip {vip}");
    }
    if tunnels.gue_port != GUE_PORT {
        let _infallible = write!(command, " --gue-port {}", tunnels.gue_port);
    }
    command
}

/// What the host is like. What it does not have, a family or a route, it does not tell.
async fn host<'a>(netlink: &Netlink, facts: &'a Facts, attached: Attached) -> Host<'a> {
    let [far, far_v6] = FAR_AWAY.map(|address| address.parse::<IpAddr>().ok());
    let (mut far_interface, mut segment) = (None, [None; 2]);
    if let Some(far) = far {
        far_interface = netlink.route_to(far, None).await.ok().map(|route| route.interface);
    }
    for (family, far) in [far, far_v6].into_iter().enumerate() {
        if let Some(far) = far {
            segment[family] = netlink.advertised_segment(far).await.ok().flatten();
        }
    }
    let conduct = facts.interfaces.values().filter_map(|interface| {
        let conduct = Conduct::of(&interface.name).ok()?;
        Some((interface.name.clone(), conduct))
    });
    Host { facts, conduct: conduct.collect(), far_interface, segment, attached }
}
