//! What is in a guest: the tools of the host that the laboratory runs, with their libraries; the programs under test; the
//! kernel's modules; and the first process.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{archive::Archive, parts::Parts};
use crate::{binaries, namespace::run, requirements};

/// Where the tests are; the binaries that they run are one folder up, as on the host.
pub(super) const TESTS: &str = "/lab/deps";
/// Tools of the host's.
const TOOLS: &[&str] = &["ip", "ethtool"];
/// What else the laboratory and the first process call.
const APPLETS: &[&str] = &["mount", "poweroff", "sh", "stat", "true", "uname"];
/// What the kernel calls for a module that it misses.
const MODPROBE: &str = "/sbin/modprobe";
/// Modules that stories may want; those that they need come with them. Each is loaded when it is asked for.
const MODULES: &[&str] = &[
    "8021q",
    "bonding",
    "bridge",
    "fou",
    "fou6",
    "ip6_tunnel",
    "ipip",
    "macvlan",
    "sch_netem",
    "tun",
    "veth",
    "virtio_net",
    "virtio_pci",
    "vxlan",
];

/// Writes an image that runs a test with these arguments and ends.
pub(super) fn write(parts: &Parts, test: &Path, arguments: &[&str], directory: &Path) -> Result<PathBuf> {
    let path = directory.join("image");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    for folder in ["/dev", "/proc", "/run", "/sys", "/tmp"] {
        archive.folder(folder)?;
    }
    archive.file("/init", include_bytes!("init.sh"))?;
    archive.file("/bin/busybox", &read(&parts.busybox()?)?)?;
    for name in APPLETS.iter().map(|applet| format!("/bin/{applet}")).chain([MODPROBE.into()]) {
        archive.link(&name, "/bin/busybox")?;
    }
    for name in modules(parts)? {
        archive
            .file(&format!("/lib/modules/{}/{name}", parts.version()), &read(&parts.modules().join(name))?)?;
    }
    let mut libraries = BTreeSet::new();
    for tool in TOOLS {
        let found = requirements::find(tool);
        let found = found.with_context(|| format!("{tool} is not installed; run `cargo xtask setup`"))?;
        libraries.extend(libraries_of(&found)?);
        archive.file(&format!("/usr/bin/{tool}"), &read(&found)?)?;
    }
    let name = test.file_name().and_then(OsStr::to_str).context("a test has a name")?;
    let (xdplb, lab_node) = (binaries::xdplb()?, binaries::lab_node()?);
    for (folder, name, file) in
        [("/lab", "xdplb", xdplb.as_path()), ("/lab", "lab-node", &lab_node), (TESTS, name, test)]
    {
        libraries.extend(libraries_of(file)?);
        archive.file(&format!("{folder}/{name}"), &stripped(file, directory)?)?;
    }
    for library in &libraries {
        archive.file(library, &read(Path::new(library))?)?;
    }
    archive.file("/lab/command", command(&format!("{TESTS}/{name}"), arguments).as_bytes())?;
    archive.finish()?;
    Ok(path)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The modules and those they need, and the two lists by which `modprobe` finds them.
fn modules(parts: &Parts) -> Result<BTreeSet<String>> {
    let list = parts.modules().join("modules.dep");
    let list = String::from_utf8(read(&list)?)?;
    let mut wanted: BTreeSet<String> = ["modules.dep", "modules.alias"].map(str::to_owned).into();
    for line in list.lines() {
        // kernel/net/8021q/8021q.ko: kernel/net/802/mrp.ko kernel/net/llc/llc.ko
        let (module, needs) = line.split_once(':').unwrap_or((line, ""));
        let file = module.rsplit('/').next().unwrap_or(module);
        if file.split('.').next().is_some_and(|name| MODULES.contains(&name)) {
            wanted.insert(module.into());
            wanted.extend(needs.split_whitespace().map(str::to_owned));
        }
    }
    Ok(wanted)
}

/// What the dynamic linker would load, by the paths where it looks for it.
fn libraries_of(program: &Path) -> Result<BTreeSet<String>> {
    let output = run("ldd", &[&program.to_string_lossy()])?;
    let text = String::from_utf8(output.stdout)?;
    // libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f36864c8000)
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// A program without what only a debugger reads, which is nine tenths of it.
fn stripped(program: &Path, directory: &Path) -> Result<Vec<u8>> {
    let file = directory.join("stripped");
    let paths = [&file, program].map(|path| path.to_string_lossy());
    run("strip", &["-o", &paths[0], &paths[1]])?;
    read(&file)
}

/// A line for a shell.
fn command(program: &str, arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| format!(" '{}'", argument.replace('\'', r"'\''")));
    [program.to_owned()].into_iter().chain(quoted).chain(["\n".into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_through_the_shell_as_it_is() {
        let line = command("printf", &["<%s>", "a b", "it's", "$HOME"]);
        let output = run("sh", &["-c", &line]).expect("a shell is on every system");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "<a b><it's><$HOME>");
    }
}
