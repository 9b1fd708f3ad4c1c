//! What a guest is made of, as `cargo xtask setup` put it beside the build: an emulator, a kernel with its modules, and
//! `busybox`. Nothing of it is installed on the host.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::requirements;

const EMULATOR: &str = "qemu-system-x86_64";

/// The distribution's packages, unpacked.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    root: PathBuf,
    /// The kernel's version, which is in the names of its files.
    version: String,
}

impl Parts {
    /// Finds them, or says what to do.
    pub(super) fn find() -> Result<Self> {
        let root = root()?;
        ensure!(root.is_dir(), "there is no guest in {}; run `cargo xtask setup`", root.display());
        let kernels = fs::read_dir(root.join("boot"))?.flatten();
        let mut versions = kernels.filter_map(|entry| {
            entry.file_name().to_str().and_then(|name| name.strip_prefix("vmlinuz-")).map(str::to_owned)
        });
        let version = versions.next();
        let broken =
            || format!("there is no kernel in {0}; remove {0} and run `cargo xtask setup`", root.display());
        let parts = Self { version: version.with_context(broken)?, root };
        parts.busybox()?;
        parts.emulator()?;
        Ok(parts)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// The folder of the kernel's modules; in the guest it is in the same place.
    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.version)
    }

    pub(super) fn busybox(&self) -> Result<PathBuf> {
        self.one_of(&["bin/busybox", "usr/bin/busybox"])
    }

    /// The emulator with its own libraries before the host's; the host's own emulator, where it has one.
    pub(super) fn emulator(&self) -> Result<Command> {
        let Ok(own) = self.one_of(&[&format!("usr/bin/{EMULATOR}")]) else {
            let found = requirements::find(EMULATOR);
            let found = found.with_context(|| format!("there is no {EMULATOR}; run `cargo xtask setup`"))?;
            return Ok(Command::new(found));
        };
        let mut command = Command::new(own);
        let libraries =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|folder| self.root.join(folder));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        Ok(command)
    }

    /// Packages of a merged `/usr` have it in the second place.
    fn one_of(&self, places: &[&str]) -> Result<PathBuf> {
        let found = places.iter().map(|place| self.root.join(place)).find(|file| file.is_file());
        found.with_context(|| format!("there is no {} in {}", places.join(" or "), self.root.display()))
    }
}

/// Programs and tests are built into `target/<profile>` and `target/<profile>/deps`; a guest is for all profiles.
fn root() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let target = profile.and_then(Path::parent).context("this program is in no folder of cargo's")?;
    Ok(target.join("guest"))
}
