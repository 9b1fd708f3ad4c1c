//! The pin directory: where the kernel's state stays when the agent ends.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::DirBuilderExt},
    },
    path::{Path, PathBuf},
};

use super::{Error, syscall};

/// The pin of the map that holds the ABI version.
pub const ABI: &str = "abi";
/// The pin of the names behind the backend ids.
pub const IDS: &str = "ids";
/// The pin of the last state of everything.
pub const STATUS: &str = "status";
/// The pin of what the next agent is to remember of the backends.
pub const MEMORY: &str = "memory";
/// What a [document](super::document) is called besides, until it takes the place of the former one.
pub(super) const FRESH_SUFFIX: &str = "-new";
/// The pin of the program `collect`, by which flows are reset when no agent runs.
pub const COLLECT: &str = "collect";
/// The pin of the sysctls that the agents of this directory have set: what is to be put back at the end.
pub const SYSCTLS: &str = "sysctls";

/// The magic number of bpffs (`include/uapi/linux/magic.h`).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// Where bpffs is mounted on most hosts.
const USUAL_MOUNT: &str = "/sys/fs/bpf";
/// What the pins of links begin with; the interface's name follows.
const LINK_PREFIX: &str = "link-";

/// A directory on bpffs, and the lock that keeps a second agent away from it.
#[derive(Debug)]
pub struct PinDirectory {
    path: PathBuf,
    /// Held open for its lock, which ends with the process.
    _lock: File,
    /// Whether what is pinned from now on goes again, because the agent has not come to serve.
    undo: bool,
}

impl PinDirectory {
    /// Makes the directory, mounts bpffs where it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where another agent holds it; [`Error::Pins`] where it cannot be made.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |reason: String| Error::Pins { path: path.into(), reason };
        ensure_bpffs(path).map_err(fail)?;
        // Whoever can open the directory can hold its lock.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            fail(format!("the pin directory cannot be made ({error}): run xdplb as root"))
        })?;
        let lock = File::open(path).map_err(|error| {
            fail(format!("the pin directory cannot be opened ({error}): run xdplb as root"))
        })?;
        // SAFETY: a descriptor that we own; the call has no pointers.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EWOULDBLOCK) => Error::Busy(path.into()),
                _ => fail(format!("the pin directory cannot be locked: {error}")),
            });
        }
        let undo = own_pins(path).is_ok_and(|pins| pins.is_empty());
        Ok(Self { path: path.into(), _lock: lock, undo })
    }

    /// What is pinned by now stays when this value goes. Until then, a directory that was empty becomes empty again:
    /// an agent that fails to start leaves nothing behind.
    pub fn keep(&mut self) {
        self.undo = false;
    }

    /// Whether it was empty when it was opened, and nothing is to stay yet.
    pub fn is_new(&self) -> bool {
        self.undo
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a map is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the link of an interface is pinned.
    pub fn link(&self, interface: &str) -> PathBuf {
        link_path(&self.path, interface)
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        if self.undo
            && let Err(error) = remove_all(&self.path)
        {
            log::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Where the link of an interface is pinned in a pin directory.
pub fn link_path(directory: &Path, interface: &str) -> PathBuf {
    // bpffs refuses names with dots, which VLAN interfaces have.
    directory.join(format!("{LINK_PREFIX}{}", interface.replace('.', "%")))
}

/// The interfaces that have a pinned link.
pub fn linked_interfaces(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut interfaces: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix(LINK_PREFIX)?.replace('%', "."))).collect();
    interfaces.sort();
    interfaces
}

/// Removes every pin of ours and the directory, unless something else is in it.
pub fn remove_all(directory: &Path) -> io::Result<()> {
    remove_pins(directory)?;
    match fs::remove_dir(directory) {
        // A mount point of its own stays, and so does what others pinned.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOENT | libc::ENOTEMPTY)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Removes every pin of ours, so that the kernel lets go of programs and maps. Links go first: traffic passes to the
/// host before the tables vanish.
pub fn remove_pins(directory: &Path) -> io::Result<()> {
    remove_links(directory)?;
    own_pins(directory)?.into_iter().try_for_each(fs::remove_file)
}

/// Takes the programs off every interface.
pub fn remove_links(directory: &Path) -> io::Result<()> {
    let is_link = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_bytes().starts_with(LINK_PREFIX.as_bytes()))
    };
    own_pins(directory)?.iter().filter(|path| is_link(path)).try_for_each(|path| remove_link(path))
}

/// Takes the program of a pinned link off its interface: it is off when this returns. What is not there is left alone.
pub fn remove_link(path: &Path) -> io::Result<()> {
    match syscall::open_pinned(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(link) => {
            if let Err(error) = syscall::detach_link(link.as_fd()) {
                // The kernel does it itself, a moment after the pin has gone.
                log::debug!("{}: the program is not off at once: {error}", path.display());
            }
        }
        Err(error) => log::debug!("{}: the link cannot be opened: {error}", path.display()),
    }
    fs::remove_file(path)
}

/// The pins of this and of other versions of xdplb: nothing where the directory is missing or no bpffs.
pub fn own_pins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !is_bpffs(directory) {
        return Ok(Vec::new());
    }
    Ok(entries
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_own_name))
        .collect())
}

/// Whether a pin is called as ours are: maps in capitals.
fn is_own_name(name: &str) -> bool {
    let is_map = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let document = name.strip_suffix(FRESH_SUFFIX).unwrap_or(name);
    is_map
        || [ABI, COLLECT, SYSCTLS].contains(&name)
        || [IDS, STATUS, MEMORY].contains(&document)
        || name.starts_with(LINK_PREFIX)
}

/// Mounts bpffs where the directory would not lie on one.
fn ensure_bpffs(path: &Path) -> Result<(), String> {
    let ancestor = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    if is_bpffs(ancestor) {
        return Ok(());
    }
    let target = if path.starts_with(USUAL_MOUNT) { Path::new(USUAL_MOUNT) } else { path };
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            "this is no bpffs, and it is not empty: name a directory below /sys/fs/bpf, or an empty one, \
                    with --pin-dir"
                .into(),
        );
    }
    fs::create_dir_all(target)
        .map_err(|error| format!("{} cannot be made ({error}): run xdplb as root", target.display()))?;
    mount_bpffs(target).map_err(|error| {
        format!(
            "there is no bpffs, and it cannot be mounted ({error}): run xdplb as root, or first \
             `mount -t bpf bpf {}`",
            target.display()
        )
    })
}

fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: plain integers, for which zero is a value.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path and the structure outlive the call.
    let result = unsafe { libc::statfs(path.as_ptr(), &raw mut found) };
    result == 0 && found.f_type.cast_unsigned() == BPF_FS_MAGIC
}

fn mount_bpffs(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the strings outlive the call; bpffs takes no data.
    let result =
        unsafe { libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
