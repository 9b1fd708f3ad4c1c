//! Builds the XDP programs and embeds them.

use std::{env, path::Path, process::Command};

use aya_build::{Package, Toolchain};

/// What somebody should do when the programs cannot be built.
const HOW_TO: &str = "run `cargo xtask setup`, which installs what is missing";

fn main() {
    println!("cargo:rerun-if-env-changed=XDPLB_BPF_TOOLCHAIN");
    println!("cargo:rerun-if-env-changed=PATH");
    if let Err(error) = build() {
        println!("cargo:warning=the XDP programs cannot be built: {error}; {HOW_TO}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    if !succeeds(Command::new("bpf-linker").arg("--version")) {
        return Err("bpf-linker is not installed".into());
    }
    let toolchain = toolchain().ok_or("no Rust tool chain with the sources of core was found")?;
    if toolchain == "distro" {
        // SAFETY: the build script has one thread.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-ebpf");
    println!("cargo:rerun-if-changed={root_dir}/../lb-common/src");
    let package = Package { name: "lb-ebpf", root_dir, ..Package::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)).map_err(|error| format!("{error:#}"))
}

/// The first tool chain that can build `core` for BPF: the one the environment names, a nightly, the distribution's.
fn toolchain() -> Option<String> {
    if let Ok(name) = env::var("XDPLB_BPF_TOOLCHAIN") {
        return Some(name);
    }
    ["nightly", "distro"].into_iter().find(|name| has_core_sources(name)).map(Into::into)
}

fn has_core_sources(toolchain: &str) -> bool {
    let sysroot = Command::new("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").exists()
    })
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
