//! `cargo xtask setup`: installs what is missing, asks nothing, does nothing the second time.

mod bpf;
mod guest;
mod packages;

use anyhow::Result;

use packages::Wanted;

/// What the laboratory and the stories run, by program and Debian's name for its package.
const TOOLS: &[Wanted] = &[
    Wanted { program: "ip", package: "iproute2" },
    Wanted { program: "ethtool", package: "ethtool" },
    Wanted { program: "curl", package: "curl" },
    Wanted { program: "nginx", package: "nginx-light" },
    Wanted { program: "etcd", package: "etcd-server" },
    Wanted { program: "etcdctl", package: "etcd-client" },
    Wanted { program: "iperf3", package: "iperf3" },
];

/// Installs the tool chain for the programs, without which nothing builds, and what the tests run, without
/// which some are skipped.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<&Wanted> = TOOLS.iter().filter(|tool| tool.is_missing()).collect();
    if missing.is_empty() {
        println!("tools: all there");
    } else {
        let names: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        println!("tools: installing {}", names.join(", "));
        if let Err(error) = packages::install(&names) {
            // Tests that need one of them skip and say so.
            eprintln!("{error:#}");
        }
    }
    if let Err(error) = guest::ensure() {
        eprintln!("{error:#}; the tests on another kernel are skipped");
    }
    bpf::ensure()
}
