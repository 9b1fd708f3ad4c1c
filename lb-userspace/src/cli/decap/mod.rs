//! `xdplb decap`: the controller's side of DSR. A command that does its work and ends; what it attaches stays.
//!
//! The program is pinned beside the balancer's state and not in it, so that a controller that is a balancer too keeps both
//! apart.

mod attach;
mod check;
mod readiness;
mod status;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use lb_common::{limits::MAX_DECAP_VIPS, wire::GUE_PORT};

use super::{
    Exit,
    args::{DecapArgs, GlobalArgs},
    put,
};
use crate::{
    control::types::Done,
    kernel::{self, PinDirectory, decap::Tunnels, pins},
    view::{self, Style},
};

/// What the name of the balancer's pin directory gets for this one's.
const SUFFIX: &str = "-decap";

/// Carries it out.
pub(super) async fn execute(global: GlobalArgs, args: DecapArgs) -> anyhow::Result<Exit> {
    let directory = directory(&global.pin_dir)?;
    if args.check {
        return check::check(&global.pin_dir, &directory, &args).await;
    }
    let done = match &args {
        DecapArgs { status: true, json, .. } => return status::status(&directory, *json).await,
        DecapArgs { remove: true, .. } => remove(&directory)?,
        _ => attach::attach(&directory, &args).await?,
    };
    put(&view::done(&done, &Style::stdout()));
    Ok(Exit::Done)
}

/// The pin directory of this program, which follows from the balancer's.
fn directory(pin_dir: &Path) -> anyhow::Result<PathBuf> {
    let name = pin_dir.file_name().with_context(|| {
        format!("{} has no name: give a directory below /sys/fs/bpf with --pin-dir", pin_dir.display())
    })?;
    let mut name = name.to_owned();
    name.push(SUFFIX);
    Ok(pin_dir.with_file_name(name))
}

/// The directory, locked.
fn open(directory: &Path) -> anyhow::Result<PinDirectory> {
    match PinDirectory::open(directory) {
        Err(kernel::Error::Busy(path)) => {
            anyhow::bail!(
                "another `xdplb decap` works on {}: run this again when it has ended",
                path.display()
            )
        }
        opened => Ok(opened?),
    }
}

/// Takes the program off and removes what is pinned.
fn remove(directory: &Path) -> anyhow::Result<Done> {
    if !is_pinned(directory)? {
        let words = format!("nothing to do: nothing is pinned in {}", directory.display());
        return Ok(Done::unchanged(words));
    }
    let _lock = open(directory)?;
    let interfaces = pins::linked_interfaces(directory);
    pins::remove_all(directory).with_context(|| format!("{} cannot be removed", directory.display()))?;
    Ok(Done::changed(match interfaces.as_slice() {
        [] => "the pinned state is gone".into(),
        some => format!("the program is off {} and the pinned state is gone", some.join(", ")),
    }))
}

/// Whether anything is pinned there.
fn is_pinned(directory: &Path) -> anyhow::Result<bool> {
    match pins::own_pins(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            anyhow::bail!("{} may not be read: run this as root", directory.display())
        }
        pins => Ok(!pins.with_context(|| format!("{} cannot be read", directory.display()))?.is_empty()),
    }
}

/// What is to be taken out of which tunnels.
fn tunnels(vips: &[IpAddr], gue_port: Option<u16>) -> anyhow::Result<Tunnels> {
    anyhow::ensure!(!vips.is_empty(), "no VIP is given; add --vip IP, the address that the clients use");
    if let Some(vip) = vips.iter().find(|vip| !can_be_vip(vip)) {
        anyhow::bail!("--vip: {vip} is nobody's address; give the one that the clients use");
    }
    let tunnels = Tunnels { vips: vips.iter().copied().collect(), gue_port: gue_port.unwrap_or(GUE_PORT) };
    let (given, most) = (tunnels.vips.len(), MAX_DECAP_VIPS as usize);
    anyhow::ensure!(given <= most, "--vip: {given} VIPs are given and {most} are possible; leave some out");
    Ok(tunnels)
}

/// Whether packets from clients can be to this address.
fn can_be_vip(address: &IpAddr) -> bool {
    let never = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let family_says_no = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some() || v6.is_unicast_link_local(),
    };
    !never && !family_says_no
}

/// The addresses, for a sentence.
fn listed<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("the test holds addresses")
    }

    #[test]
    fn the_pins_stand_beside_the_balancers() {
        let beside = |path: &str| directory(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(beside("/sys/fs/bpf/xdplb").ok().as_deref(), Some("/sys/fs/bpf/xdplb-decap"));
        assert_eq!(beside("/sys/fs/bpf/second/").ok().as_deref(), Some("/sys/fs/bpf/second-decap"));
        let error = beside("/").expect_err("the root has no name").to_string();
        assert!(error.contains("--pin-dir"), "the next step: {error}");
    }

    #[test]
    fn what_no_client_can_send_to_is_no_vip() {
        for vip in ["192.0.2.10", "10.0.0.1", "2001:db8::10", "fd00::10"] {
            assert!(tunnels(&[ip(vip)], None).is_ok(), "{vip}");
        }
        for nobody in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "::ffff:192.0.2.10",
        ] {
            let error = tunnels(&[ip("192.0.2.10"), ip(nobody)], None).expect_err("refused").to_string();
            assert_eq!(
                error,
                format!("--vip: {} is nobody's address; give the one that the clients use", ip(nobody))
            );
        }
    }

    #[test]
    fn as_many_vips_as_the_table_holds() {
        let vips = |count: u8| (0..count).map(|host| IpAddr::from([192, 0, 2, host])).collect::<Vec<_>>();
        assert_eq!(tunnels(&vips(64), None).expect("they fit").vips.len(), 64);
        let twice = [vips(64), vips(64)].concat();
        assert_eq!(tunnels(&twice, None).expect("each counts once").vips.len(), 64);
        let error = tunnels(&vips(65), None).expect_err("one too many").to_string();
        assert_eq!(error, "--vip: 65 VIPs are given and 64 are possible; leave some out");
        assert!(tunnels(&[], None).expect_err("none").to_string().contains("add --vip IP"));
    }
}
