//! The parts of a guest, in which tests run on the oldest kernel that is promised: Debian's kernel for machines in a cloud,
//! an emulator, and `busybox`.
//!
//! They are unpacked beside the build. Nothing is installed: the host is not to get a second kernel, and the emulator's
//! packages may be at odds with what the host has of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::packages;
use crate::process;

/// It depends on the package of the newest version.
const KERNEL: &str = "linux-image-cloud-amd64";
const EMULATOR: &str = "qemu-system-x86";
const BUSYBOX: &str = "busybox-static";
/// Each of the steps takes seconds.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Makes sure that they are there.
pub(crate) fn ensure() -> Result<()> {
    let root = root()?;
    if root.is_dir() {
        println!("guest: all there");
        return Ok(());
    }
    ensure!(cfg!(target_arch = "x86_64"), "there is a guest only for x86-64");
    println!("guest: fetching {KERNEL}, {EMULATOR} and {BUSYBOX}");
    packages::make_known(&[KERNEL, EMULATOR, BUSYBOX])?;
    let mut wanted = vec![newest_kernel()?, BUSYBOX.to_owned()];
    wanted.extend(missing_of_the_emulator()?);

    // What is not complete does not bear the name.
    let unfinished = root.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let archives = unfinished.join("archives");
    fs::create_dir_all(&archives)?;
    packages::download(&wanted, &archives)?;
    unpack(&archives, &unfinished)?;
    fs::remove_dir_all(&archives)?;
    list_modules(&unfinished)?;
    fs::rename(&unfinished, &root)?;
    Ok(())
}

/// Where `tests/lab/guest` looks for them: beside the profiles of the build.
fn root() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let target = own.ancestors().nth(2).context("this program is in no folder of cargo's")?;
    Ok(target.join("guest"))
}

fn newest_kernel() -> Result<String> {
    let depends = process::ask("apt-cache", &["depends", KERNEL]).unwrap_or_default();
    let depended = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = depended.with_context(|| format!("{KERNEL} is not to be had here"))?;
    Ok(name.to_owned())
}

/// The packages that an installation would bring; none where it is installed.
fn missing_of_the_emulator() -> Result<Vec<String>> {
    let arguments = ["install", "--simulate", "--no-install-recommends", EMULATOR];
    let plan =
        process::ask("apt-get", &arguments).with_context(|| format!("{EMULATOR} is not to be had here"))?;
    Ok(installed_by(&plan))
}

fn installed_by(plan: &str) -> Vec<String> {
    // Inst qemu-system-x86 (1:7.2+dfsg-7 Debian:12.15/oldstable [amd64])
    let packages = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
    packages.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn unpack(archives: &Path, root: &Path) -> Result<()> {
    for archive in fs::read_dir(archives)?.flatten() {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(archive.path()).arg(root);
        // One line for each of thirty packages would tell nobody anything.
        let output = unpack.output().context("cannot run dpkg-deb")?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("cannot unpack {}: {}", archive.path().display(), error.trim());
        }
    }
    Ok(())
}

/// Writes the lists by which `modprobe` finds a module; a package's own script would, after the installation.
fn list_modules(root: &Path) -> Result<()> {
    let (old, merged) = (root.join("lib/modules"), root.join("usr/lib/modules"));
    if !old.exists() {
        fs::create_dir_all(root.join("lib"))?;
        fs::rename(&merged, &old).context("the kernel came without modules")?;
    }
    let versions = fs::read_dir(&old)?.flatten();
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|place| root.join(place));
    let busybox = busybox.iter().find(|file| file.is_file()).context("there is no busybox in its package")?;
    for version in versions {
        let mut list = Command::new(busybox);
        list.arg("depmod").arg("-b").arg(root).arg(version.file_name());
        ensure!(process::run(&mut list, LIMIT)?.success(), "the kernel's modules could not be listed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_installation_would_bring_is_read() {
        let plan = "The following packages will be REMOVED:\n  qemu-utils\nRemv qemu-utils [1:10.0.2]\n\
                    Inst libfdt1 (1.6.1-4 Debian:12.15/oldstable [amd64])\n\
                    Inst libzstd1 [1.5.4] (1.5.5 Debian:12.15/oldstable [amd64])\nConf libfdt1 (1.6.1-4)\n";
        assert_eq!(installed_by(plan), ["libfdt1", "libzstd1"]);
    }
}
