//! What is attached, and what has happened to packets.

use std::path::Path;

use serde::Serialize;

use super::{is_pinned, listed};
use crate::{
    cli::{Exit, commands::print_json, put},
    control::types::{Counters, XdpMode},
    kernel::{
        attach,
        decap::{self, Pinned},
        pins,
    },
    net::Netlink,
    view::{self, Style},
};

/// What `--status --json` prints.
#[derive(Serialize)]
struct Status {
    interfaces: Vec<Attached>,
    vips: Vec<String>,
    gue_port: u16,
    counters: Counters,
}

/// An interface that has the program, or had it.
#[derive(Serialize)]
struct Attached {
    name: String,
    xdp_mode: XdpMode,
}

/// Prints it.
pub(super) async fn status(directory: &Path, json: bool) -> anyhow::Result<Exit> {
    let pinned = if is_pinned(directory)? { Pinned::read(directory)? } else { None };
    let Some(pinned) = pinned else {
        anyhow::bail!(
            "no program is pinned in {}: attach it with `xdplb decap --interface IF --vip IP`",
            directory.display()
        );
    };
    let counters = decap::pinned_counters(directory)?;
    let status = Status {
        interfaces: attached(directory, &pinned.interfaces).await?,
        vips: pinned.tunnels.vips.iter().map(ToString::to_string).collect(),
        gue_port: pinned.tunnels.gue_port,
        counters: counters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    if json {
        print_json(&status)?;
        return Ok(Exit::Done);
    }
    let interfaces: Vec<String> =
        status.interfaces.iter().map(|one| format!("{} ({})", one.name, one.xdp_mode)).collect();
    let counters = view::counters(&status.counters, &Style::stdout());
    put(&format!(
        "interfaces  {}\nvips        {}\ngue port    {}\n\n{counters}",
        interfaces.join(", "),
        listed(&pinned.tunnels.vips),
        status.gue_port
    ));
    Ok(Exit::Done)
}

/// How the program is on each interface.
async fn attached(directory: &Path, interfaces: &[String]) -> anyhow::Result<Vec<Attached>> {
    let programs = Netlink::open()?.attached_programs().await?;
    let mode = |name: &String| {
        let gone = !attach::pinned_interface(&pins::link_path(directory, name)).is_ok_and(|index| index != 0);
        match programs.get(name) {
            Some(program) if !gone && program.native => XdpMode::Native,
            Some(_) if !gone => XdpMode::Generic,
            _ => XdpMode::Detached,
        }
    };
    Ok(interfaces.iter().map(|name| Attached { name: name.clone(), xdp_mode: mode(name) }).collect())
}

#[cfg(test)]
mod tests {
    use lb_common::abi::decap::ALL;

    #[test]
    fn every_counter_is_explained_to_operators() {
        let page = include_str!("../../../../docs/operations.md");
        let section =
            page.split("## DSR: the controller's side").nth(1).and_then(|rest| rest.split("\n## ").next());
        let section = section.expect("the page has the section");
        for counter in ALL {
            assert!(section.contains(&format!("`{}`", counter.name())), "{} is missing", counter.name());
        }
    }
}
