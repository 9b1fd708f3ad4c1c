//! Tells bpf-linker what the kernels that run the programs can do.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|target| target == "bpf") {
        // 32-bit arithmetic, Linux 5.1.
        println!("cargo:rustc-link-arg-bins=--cpu-features=+alu32");
        // Copies of known length are loads and stores. With what bpf-linker does else they are calls of loops over single
        // bytes, on the way of every packet, and the verifier goes through each round.
        println!("cargo:rustc-link-arg-bins=--disable-expand-memcpy-in-order");
    }
}
