//! A guest: a machine in an emulator with a kernel of the distribution's, for what the kernel here lacks and for the oldest
//! one that is promised.
//!
//! It has no disk and no network. All that is in it is unpacked into its memory at boot; it runs one test binary, says on
//! the serial line what became of it, and turns itself off.

mod archive;
mod image;
mod parts;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{cleanup, names, process::Process};
use parts::Parts;

/// Two, so that what CPUs do to each other happens there too.
const PROCESSORS: &str = "2";
/// Mebibytes: 70 of them are the image, and tables of the usual sizes take 200 for each family.
const MEMORY: &str = "2048";

/// What came of a test binary in a guest.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The version of the guest's kernel.
    pub kernel: String,
    /// How many tests passed.
    pub passed: usize,
    /// What was printed, line by line.
    pub lines: Vec<String>,
    /// How long the guest lived.
    pub took: Duration,
}

/// Runs a test binary in a guest of its own. A test that fails there is an error with all that was printed, and so is one
/// that was skipped, as a guest has what its tests need.
pub fn run(test: &Path, arguments: &[&str], limit: Duration) -> Result<Outcome> {
    let begun = Instant::now();
    let parts = Parts::find()?;
    let directory = Directory::new()?;
    let image = image::write(&parts, test, arguments, &directory.0)?;
    let mut command = parts.emulator()?;
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-smp", PROCESSORS, "-m", MEMORY, "-no-reboot"]);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(parts.kernel()).arg("-initrd").arg(image);
    // A panic ends it: the emulator does not boot again.
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let guest = Process::spawn("qemu", command, &directory.0)?;
    let end = guest.wait_for_line("its end", limit, |line| line.trim_end().starts_with("guest: ends with "));
    let lines: Vec<String> = guest.lines().iter().map(|line| line.trim_end().to_owned()).collect();
    let shown = || format!("{} printed:\n{}", test.display(), indented(&lines));
    let status = end.with_context(shown)?;
    ensure!(status.trim_end() == "guest: ends with 0", "in a guest {}", shown());
    if let Some(skip) = lines.iter().find(|line| line.starts_with("guest: SKIP ")) {
        bail!("a guest lacks what a test needs ({skip}); put it into the image");
    }
    let passed = passed(&lines).with_context(shown)?;
    Ok(Outcome { kernel: parts.version().to_owned(), passed, lines, took: begun.elapsed() })
}

/// Why no guest can be had here; `None` when it can.
pub(crate) fn missing() -> Option<String> {
    Parts::find().err().map(|error| format!("{error:#}"))
}

/// The number in the line with which a test binary ends.
fn passed(lines: &[String]) -> Result<usize> {
    let line = lines.iter().find_map(|line| line.strip_prefix("test result: ok. "));
    let number = line.and_then(|line| line.split(' ').next()).and_then(|number| number.parse().ok());
    number.context("the tests did not tell their result")
}

/// So that nobody takes a guest's results for our own.
fn indented(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["    | ", line, "\n"]).collect()
}

/// A directory like a lab's: what a killed test left is swept by the next lab.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let directory = Self(names::directory(&names::fresh_id()));
        fs::create_dir_all(&directory.0)
            .with_context(|| format!("cannot make {}; run as root", directory.0.display()))?;
        Ok(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(id) = self.0.file_name().and_then(|name| name.to_str()).and_then(names::id_of) {
            cleanup::remove(id);
        }
    }
}
