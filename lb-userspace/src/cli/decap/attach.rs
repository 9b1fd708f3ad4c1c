//! The program goes on the interfaces, or takes the place of the one that is there.

use std::{collections::BTreeMap, path::Path};

use super::{listed, open, tunnels};
use crate::{
    agent::attaching::{chosen, shown_of},
    cli::args::DecapArgs,
    config::{XdpMode, did_you_mean},
    control::types::Done,
    kernel::{
        Attachment, Decap, PinDirectory,
        attach::pinned_interface,
        decap::{Pinned, Tunnels},
        pins,
    },
    net::{Facts, Interface, Netlink, XdpProgram},
};

/// Attaches the program, and takes it off the interfaces that are not named any more. What is so already stays as it is.
pub(super) async fn attach(directory: &Path, args: &DecapArgs) -> anyhow::Result<Done> {
    let tunnels = tunnels(&args.vips, args.gue_port)?;
    let netlink = Netlink::open()?;
    let facts = netlink.facts().await?;
    let interfaces = named(&facts, &args.interfaces)?;
    let programs = netlink.attached_programs().await?;
    let mut pins = open(directory)?;
    let former = Pinned::read(directory)?;
    let mut work = Work {
        decap: Decap::load_pinned(&tunnels, &pins)?,
        pins: &pins,
        programs: &programs,
        wanted: args.xdp_mode.unwrap_or(XdpMode::Auto),
        notes: Vec::new(),
    };
    let same_tunnels = former.as_ref().is_some_and(|former| former.tunnels == tunnels);
    let mut changed = work.take_off_others(&interfaces)? || !same_tunnels;
    let mut attached = Vec::new();
    // What may be refused comes first: an interface that is new.
    let (known, new): (Vec<_>, Vec<_>) =
        interfaces.iter().partition(|interface| work.former(interface).is_some());
    for interface in new.into_iter().chain(known) {
        let (how, attached_now) = work.attach(interface, same_tunnels)?;
        changed |= attached_now;
        attached.push(format!("{} ({})", interface.name, shown_of(how)));
    }
    work.decap.pin_vips(&pins)?;
    let notes = work.notes;
    pins.keep();
    attached.sort();
    let words = words(&attached.join(", "), &tunnels);
    let done =
        if changed { Done::changed(words) } else { Done::unchanged(format!("nothing to do: {words}")) };
    Ok(Done { notes, ..done })
}

fn words(attached: &str, tunnels: &Tunnels) -> String {
    format!(
        "{attached} takes packets to {} out of ipip, and out of gue on port {}",
        listed(&tunnels.vips),
        tunnels.gue_port
    )
}

/// The interfaces with these names, each once.
pub(super) fn named<'a>(facts: &'a Facts, names: &[String]) -> anyhow::Result<Vec<&'a Interface>> {
    anyhow::ensure!(
        !names.is_empty(),
        "no interface is given; add --interface IF, by which the tunnels come"
    );
    let mut found: BTreeMap<u32, &Interface> = BTreeMap::new();
    for name in names {
        let Some(interface) = facts.by_name(name) else {
            let known = facts.interfaces.values().map(|interface| interface.name.as_str());
            let next = did_you_mean(name, known, "`ip link` lists them");
            anyhow::bail!("--interface: this host has no interface {name:?}; {next}");
        };
        found.insert(interface.index, interface);
    }
    Ok(found.into_values().collect())
}

/// One run of the command.
struct Work<'a> {
    decap: Decap,
    pins: &'a PinDirectory,
    programs: &'a BTreeMap<String, XdpProgram>,
    wanted: XdpMode,
    notes: Vec<String>,
}

impl Work<'_> {
    /// How a program of ours is on the interface now, if one is.
    fn former(&self, interface: &Interface) -> Option<Attachment> {
        let link = self.pins.link(&interface.name);
        let program = self.programs.get(&interface.name)?;
        pinned_interface(&link).is_ok_and(|index| index == interface.index).then_some(if program.native {
            Attachment::Native
        } else {
            Attachment::Generic
        })
    }

    /// Attaches the program to an interface, unless this very one is there as it should be. Returns how it is there, and
    /// whether that is new.
    fn attach(&mut self, interface: &Interface, same_tunnels: bool) -> anyhow::Result<(Attachment, bool)> {
        let former = self.former(interface);
        let how = chosen(self.wanted, former, interface.driver.as_deref());
        let name = interface.name.as_str();
        if same_tunnels && former == Some(how) && self.decap.is_in_link(self.pins, name)? {
            return Ok((how, false));
        }
        let place = (name, interface.index);
        let Err(error) = self.decap.attach(self.pins, place, how, former) else { return Ok((how, true)) };
        if how == Attachment::Generic || self.wanted != XdpMode::Auto {
            return Err(error.into());
        }
        self.decap.attach(self.pins, place, Attachment::Generic, Some(how))?;
        self.notes.push(format!("{error}; generic XDP is used, which is slower"));
        Ok((Attachment::Generic, true))
    }

    /// Takes the program off the interfaces that are not among these. Returns whether there were any.
    fn take_off_others(&self, interfaces: &[&Interface]) -> anyhow::Result<bool> {
        let mut others = pins::linked_interfaces(self.pins.path());
        others.retain(|name| !interfaces.iter().any(|interface| interface.name == *name));
        for name in &others {
            pins::remove_link(&self.pins.link(name))?;
        }
        Ok(!others.is_empty())
    }
}
