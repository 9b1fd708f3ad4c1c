//! How an answer of the command line is read, and what it has left behind.

use std::{ffi::OsStr, fs, path::Path};

use anyhow::{Result, bail};
use lb_tests::{Lab, Reply, binaries};
use serde_json::Value;

pub(crate) use lb_tests::setting::{API, MANY, Setting, pins};

/// Runs `xdplb` on the balancer's host with nothing but these arguments.
pub(crate) fn xdplb<A: AsRef<OsStr>>(lab: &Lab, arguments: &[A]) -> Result<Reply> {
    let mut command = lab.namespace("lb")?.command(binaries::xdplb()?)?;
    Ok(Reply::from(&command.args(arguments).output()?))
}

/// A refusal: exit status 1, nothing on standard output, one sentence on standard error, which is given.
pub(crate) fn refusal(reply: &Reply) -> String {
    assert_eq!(reply.status.code(), Some(1), "a refusal exits with 1: {reply:?}");
    assert_eq!(reply.stdout, "", "a refusal prints nothing on standard output: {reply:?}");
    let lines: Vec<&str> = reply.stderr.lines().filter(|line| !line.starts_with('[')).collect();
    let [line] = lines.as_slice() else { panic!("a refusal is one line: {reply:?}") };
    let sentence = line.strip_prefix("xdplb: ");
    sentence.unwrap_or_else(|| panic!("a refusal says who speaks: {line}")).to_owned()
}

/// An answer with this exit status; gives what it printed on standard output.
pub(crate) fn answer(reply: &Reply, code: i32) -> String {
    assert_eq!(reply.status.code(), Some(code), "the exit status should be {code}: {reply:?}");
    reply.stdout.clone()
}

/// Whether an XDP program is on an interface of the balancer's host.
pub(crate) fn has_program(lab: &Lab, interface: &str) -> Result<bool> {
    Ok(!xdp_of(lab, interface)?.is_null())
}

/// How the kernel itself has the program on an interface of the balancer's host.
pub(crate) fn kernels_xdp_mode(lab: &Lab, interface: &str) -> Result<&'static str> {
    // `XDP_ATTACHED_DRV` and `XDP_ATTACHED_SKB` (`include/uapi/linux/if_link.h`).
    match xdp_of(lab, interface)?["mode"].as_u64() {
        Some(1) => Ok("native"),
        Some(2) => Ok("generic"),
        other => bail!("{interface} has no program in one mode: {other:?}"),
    }
}

fn xdp_of(lab: &Lab, interface: &str) -> Result<Value> {
    let shown = lab.exec_in("lb", "ip", &["-j", "link", "show", interface])?;
    let mut links: Value = serde_json::from_slice(&shown.stdout)?;
    Ok(links[0]["xdp"].take())
}

/// That nothing was begun: no program, no pins, no socket.
pub(crate) fn assert_untouched(lab: &Lab, socket: &Path, after: &str) -> Result<()> {
    assert!(!has_program(lab, "xlb0")?, "{after}, no program is on the interface");
    let left: Vec<_> = fs::read_dir(pins(lab)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{after}, nothing is pinned: {left:?}");
    assert!(!socket.exists(), "{after}, no socket is there");
    Ok(())
}
