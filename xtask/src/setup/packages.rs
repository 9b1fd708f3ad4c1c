//! The distribution's packages, by apt.
//!
//! Nothing that is installed for the tests may start serving: a policy refuses it for the time of the
//! installation (`/usr/sbin/policy-rc.d`, exit 101: Debian Policy, section 9.3), and where systemd runs, units
//! that came with it are disabled.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Half a gigabyte of LLVM on a slow mirror.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Daemons among what we install.
const UNITS: &[&str] = &["nginx", "etcd", "iperf3"];

/// A program and the package that brings it.
pub(crate) struct Wanted {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl Wanted {
    pub(crate) fn is_missing(&self) -> bool {
        process::find(self.program).is_none()
    }
}

/// Can packages be installed here at all?
pub(crate) fn can_install() -> Result<()> {
    ensure!(process::find("apt-get").is_some(), "there is no apt here; install by your system's own means");
    // SAFETY: a call without arguments that cannot fail.
    ensure!(unsafe { libc::geteuid() } == 0, "installing needs root; run `cargo xtask setup` as root");
    Ok(())
}

/// Installs them, all or nothing; the lists are fetched only when they do not know one of them.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    can_install().with_context(|| format!("missing: {list}"))?;
    let _nothing_starts = NothingStarts::begin()?;
    make_known(packages)?;
    // A list may be older than the mirror: then fetch it once more.
    let arguments = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt(&arguments).is_err() {
        apt(&["update"])?;
        apt(&arguments).with_context(|| format!("cannot install {list}; install them by hand"))?;
    }
    keep_from_starting_at_boot(packages);
    Ok(())
}

/// Fetches the lists of packages, if they do not know one of these.
pub(crate) fn make_known(packages: &[&str]) -> Result<()> {
    if packages.iter().all(|package| is_known(package)) {
        return Ok(());
    }
    can_install()?;
    apt(&["update"])
}

/// Fetches packages into a folder, and installs nothing.
pub(crate) fn download(packages: &[String], folder: &Path) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Root may read what root fetches; without this apt warns that its own user cannot.
    command.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(packages).current_dir(folder);
    ensure!(
        process::run(&mut command, LIMIT)?.success(),
        "the packages cannot be fetched; what apt said is above"
    );
    Ok(())
}

fn is_known(package: &str) -> bool {
    process::ask("apt-cache", &["policy", package])
        .is_some_and(|policy| policy.contains("Candidate:") && !policy.contains("Candidate: (none)"))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Somebody else's apt may be at work.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let status = process::run(&mut command, LIMIT)?;
    if !status.success() {
        bail!("apt-get {} failed ({status}); what it said is above", arguments.join(" "));
    }
    Ok(())
}

fn keep_from_starting_at_boot(packages: &[&str]) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    for unit in UNITS.iter().filter(|unit| packages.iter().any(|package| package.starts_with(**unit))) {
        // It may have brought no unit of that name, which is just as good.
        let _ = process::ask("systemctl", &["disable", "--quiet", unit]);
    }
}

/// While this lives, packages start no daemon. A policy that was there before is left alone.
struct NothingStarts(bool);

impl NothingStarts {
    fn begin() -> Result<Self> {
        let mut new = OpenOptions::new();
        match new.write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                file.write_all(b"#!/bin/sh\nexit 101\n")?;
                Ok(Self(true))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self(false)),
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}; run as root")),
        }
    }
}

impl Drop for NothingStarts {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("cannot remove {POLICY} ({error}); remove it, or no package will start a daemon");
        }
    }
}
