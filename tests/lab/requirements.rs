//! What a test needs of the machine. The one place where a test is skipped, says why, and is counted.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{cleanup, guest, names, namespace::Namespace, pass};

/// The file that collects one line for each skipped test.
pub const SKIP_LOG: &str = "XDPLB_SKIP_LOG";

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The right to make namespaces and load programs.
    Root,
    /// A kernel that lets us load an XDP program.
    Bpf,
    /// A program on `PATH`.
    Program(&'static str),
    /// The parts of a guest with a kernel of its own.
    Guest,
    /// A kind of device that not every kernel has, as `ip link add … type` calls it.
    Device(&'static str),
}

/// What every lab needs.
pub const LAB: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip")];

impl Need {
    /// Why it is not met, and what to do; `None` when it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Root => {
                // SAFETY: a call without arguments that cannot fail.
                let root = unsafe { libc::geteuid() } == 0;
                (!root).then(|| "not root; run as root".into())
            }
            Self::Bpf => {
                let error = pass::load().err()?;
                Some(format!("the kernel loads no XDP program ({error}); use one with BPF, as root"))
            }
            Self::Program(name) => {
                find(name).is_none().then(|| format!("{name} is not installed; run `cargo xtask setup`"))
            }
            Self::Guest => guest::missing(),
            Self::Device(kind) => {
                let error = try_device(kind).err()?;
                Some(format!(
                    "the kernel has no {kind} ({error:#}); `cargo test --test guest in_a_guest` brings one that has"
                ))
            }
        }
    }
}

/// Are the needs met? If not, says so and records it for the run's last line.
#[must_use]
pub fn met(test: &str, needs: &[Need]) -> bool {
    let Some(why) = needs.iter().find_map(|need| need.missing()) else { return true };
    skip(test, &why);
    false
}

/// Makes a device in a namespace that goes with it.
fn try_device(kind: &str) -> Result<()> {
    let id = names::fresh_id();
    let namespace = Namespace::create(&names::namespace(&id, "try"), true)?;
    let made = namespace.exec("ip", &["link", "add", "xlbtry", "type", kind]);
    cleanup::remove(&id);
    made.map(drop)
}

/// Says that a test is skipped and why, and records it.
pub fn skip(test: &str, why: &str) {
    let line = format!("SKIP {test}: {why}");
    println!("{line}");
    let Some(log) = std::env::var_os(SKIP_LOG) else { return };
    let append = File::options().create(true).append(true).open(&log);
    if let Err(error) = append.and_then(|mut file| writeln!(file, "{line}")) {
        eprintln!("cannot record the skip in {}: {error}", Path::new(&log).display());
    }
}

/// A program by its name, where the laboratory looks for it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    // The system's own folders are not on every user's PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}
