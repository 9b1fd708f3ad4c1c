//! Tells bpf-linker which machine to generate code for.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if target == "bpf" {
        // v3 has 32-bit arithmetic and jumps and atomic compare-and-exchange (Linux 5.12).
        println!("cargo:rustc-link-arg-bins=--cpu=v3");
        // The kernel permits unaligned packet access where the machine does (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS:
        // x86-64, arm64); without this every address would be read byte by byte.
        println!("cargo:rustc-link-arg-bins=--cpu-features=+alu32,+allows-misaligned-mem-access");
    }
}
