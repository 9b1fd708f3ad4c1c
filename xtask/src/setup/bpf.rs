//! The tool chain that builds the XDP programs: a compiler with the sources of `core`, and a `bpf-linker` of the
//! same LLVM.
//!
//! The first complete set is taken: a rustup nightly with `rust-src`; the distribution's own compiler, linked into
//! rustup as `distro`. The build in `lb-userspace` looks for them in the same order.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::packages;
use crate::process;

/// The linker that the programs are known to load with.
const LINKER_VERSION: &str = "0.13.0";
/// A component that cannot be had is not to hold us up.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
/// A minute on two quiet cores; five on busy ones.
const LINKER_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The distribution's compiler with the sources of `core` (Debian 12 and later).
const DISTRO_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

const ADVICE: &str = "install a nightly with `rustup toolchain install nightly --component rust-src` and its linker \
                      with `cargo binstall bpf-linker`, then run this again";

/// A compiler that has what the programs need.
struct Toolchain {
    name: &'static str,
    llvm: u32,
}

/// Makes sure that there is one complete set.
pub(crate) fn ensure() -> Result<()> {
    let here: Vec<Toolchain> = ["nightly", "distro"].into_iter().filter_map(with_sources).collect();
    let fits = |toolchain: &&Toolchain| linker().is_some_and(|linker| linker.fits(toolchain.llvm));
    if let Some(toolchain) = here.iter().find(fits) {
        println!("eBPF: {} (LLVM {}) and its bpf-linker", toolchain.name, toolchain.llvm);
        return Ok(());
    }
    // A compiler is there, only its linker is not.
    for toolchain in &here {
        match install_linker(toolchain.llvm) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}"),
        }
    }
    let toolchain = complete_nightly().map_or_else(install_distro, Ok);
    let toolchain = toolchain.context(ADVICE)?;
    if linker().is_some_and(|linker| linker.fits(toolchain.llvm)) {
        return Ok(());
    }
    install_linker(toolchain.llvm).context(ADVICE)
}

/// A toolchain of rustup's, if it has the sources of `core`.
fn with_sources(name: &'static str) -> Option<Toolchain> {
    let sysroot = process::ask("rustup", &["run", name, "rustc", "--print", "sysroot"])?;
    Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").exists().then_some(())?;
    let version = process::ask("rustup", &["run", name, "rustc", "-vV"])?;
    Some(Toolchain { name, llvm: llvm_of(&version)? })
}

fn llvm_of(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

/// Adds the sources to a nightly that has none.
fn complete_nightly() -> Option<Toolchain> {
    process::ask("rustup", &["run", "nightly", "rustc", "--version"])?;
    println!("eBPF: trying to add rust-src to the nightly");
    let mut add = Command::new("rustup");
    add.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    match process::run(&mut add, RUSTUP_LIMIT) {
        Ok(status) if status.success() => with_sources("nightly"),
        _ => None,
    }
}

fn install_distro() -> Result<Toolchain> {
    println!("eBPF: installing the distribution's compiler and its sources");
    packages::install(DISTRO_PACKAGES)?;
    let mut link = Command::new("rustup");
    link.args(["toolchain", "link", "distro", "/usr"]);
    let linked = process::run(&mut link, RUSTUP_LIMIT)?;
    ensure!(linked.success(), "rustup could not link the distribution's compiler");
    with_sources("distro").context("the distribution's compiler came without the sources of core")
}

/// Builds a `bpf-linker` for this LLVM.
fn install_linker(llvm: u32) -> Result<()> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let libraries = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    let mut wanted: Vec<&str> = libraries.iter().map(String::as_str).collect();
    wanted.extend(["zlib1g-dev", "libzstd-dev"]);
    if !wanted.iter().all(|package| is_installed(package)) {
        println!("eBPF: installing LLVM {llvm} for bpf-linker");
        packages::install(&wanted)?;
    }
    if !prefix.join("bin/llvm-config").exists() {
        bail!("there is no LLVM {llvm} in {}", prefix.display());
    }
    println!("eBPF: building bpf-linker {LINKER_VERSION} with LLVM {llvm}; this takes a minute or two");
    let mut install = process::cargo();
    install.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    install.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    // llvm-sys reads its own variable (major and minor without a dot), bpf-linker's build the other.
    install.env("LLVM_PREFIX", &prefix).env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix);
    let status = process::run(&mut install, LINKER_LIMIT)?;
    ensure!(status.success(), "bpf-linker could not be built with LLVM {llvm}; what was wrong is said above");
    Ok(())
}

fn is_installed(package: &str) -> bool {
    process::ask("dpkg-query", &["-W", "-f=${Status}", package])
        .is_some_and(|status| status.ends_with(" installed"))
}

/// A `bpf-linker` and the LLVM that it is linked with; `None` when that is inside of it.
struct Linker(Option<u32>);

impl Linker {
    fn fits(&self, llvm: u32) -> bool {
        self.0.is_none_or(|own| own == llvm)
    }
}

fn linker() -> Option<Linker> {
    let program = process::find("bpf-linker")?;
    let program = program.to_str()?;
    // One that cannot find its LLVM is as good as none.
    process::ask(program, &["--version"])?;
    Some(Linker(process::ask("ldd", &[program]).and_then(|libraries| linked_llvm(&libraries))))
}

fn linked_llvm(libraries: &str) -> Option<u32> {
    let name = libraries.split_whitespace().find(|word| word.starts_with("libLLVM"))?;
    name.split(|character: char| !character.is_ascii_digit()).find_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_compiler_and_of_a_linker_is_read() {
        assert_eq!(llvm_of("rustc 1.96.0\nhost: x\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(
            linked_llvm("\tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x00)"),
            Some(22)
        );
        assert_eq!(linked_llvm("\tlibLLVM-19.so.1 => /lib/libLLVM-19.so.1 (0x00)"), Some(19));
        assert_eq!(linked_llvm("\tlibc.so.6 => /lib/libc.so.6 (0x00)"), None);
    }
}
