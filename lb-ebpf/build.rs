//! Tells bpf-linker what the kernels that run the programs can do.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|target| target == "bpf") {
        // 32-bit arithmetic, Linux 5.1.
        println!("cargo:rustc-link-arg-bins=--cpu-features=+alu32");
    }
}
