//! Where the binaries under test are.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// `xdplb` as cargo built it, or what `XDPLB_BIN` names.
pub fn xdplb() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("XDPLB_BIN") {
        return Ok(path.into());
    }
    beside_us("xdplb", "cargo build -p lb-userspace")
}

/// The laboratory's servers and clients.
pub fn lab_node() -> Result<PathBuf> {
    beside_us("lab-node", "cargo build -p lb-tests --bins")
}

/// Tests live in `target/<profile>/deps`, binaries one folder up.
fn beside_us(name: &str, build: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let path = profile.context("this program is in no folder")?.join(name);
    ensure!(path.exists(), "{} is not there; build it with `{build}`", path.display());
    Ok(path)
}
