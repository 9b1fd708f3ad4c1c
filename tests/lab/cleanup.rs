//! Leaves nothing behind: one lab by its id, or all labs whose process is gone.
//!
//! Only what carries our prefix is touched. A process is ended only when it lives in one of our namespaces.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{names, namespace::run};

/// How long killed processes may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Removes labs whose owner no longer lives; a lab without an owner stays.
pub fn sweep_stale() {
    for id in all_ids() {
        if names::owner_of(&id).is_some_and(|pid| !lives(pid)) {
            remove(&id);
        }
    }
}

/// A process that ended counts as gone though nobody has waited for it: in a container that may never happen.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold anything (proc_pid_stat(5)).
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Removes everything that belongs to a lab. Says nothing about what is already gone.
pub fn remove(id: &str) {
    let namespaces = namespaces_of(id);
    kill_inside(&namespaces);
    for name in &namespaces {
        // Two threads may be at it: gone is gone.
        if let Err(error) = run("ip", &["netns", "delete", name])
            && Path::new(names::NETNS_DIR).join(name).exists()
        {
            eprintln!("the lab could not remove {name}: {error:#}");
        }
    }
    remove_directory(&names::directory(id));
}

/// Is there anything of this lab?
pub fn exists(id: &str) -> bool {
    !namespaces_of(id).is_empty() || names::directory(id).exists()
}

fn all_ids() -> BTreeSet<String> {
    let here = [names::NETNS_DIR, "/run"];
    here.iter()
        .flat_map(|directory| entries(Path::new(directory)))
        .filter_map(|name| names::id_of(&name).map(str::to_owned))
        .collect()
}

fn namespaces_of(id: &str) -> Vec<String> {
    let mut found = entries(Path::new(names::NETNS_DIR));
    found.retain(|name| names::id_of(name) == Some(id) && name.contains('-'));
    found
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Kills what lives in the namespaces and waits until it has left.
fn kill_inside(namespaces: &[String]) {
    let deadline = Instant::now() + LEAVE_TIMEOUT;
    loop {
        let pids: Vec<i32> = namespaces.iter().flat_map(|name| pids_in(name)).collect();
        if pids.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in pids {
            // SAFETY: plain system call; the process lives in a namespace that this laboratory made.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn pids_in(namespace: &str) -> Vec<i32> {
    let Ok(output) = run("ip", &["netns", "pids", namespace]) else { return Vec::new() };
    let own = std::process::id().cast_signed();
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != own).collect()
}

fn remove_directory(directory: &Path) {
    let Ok(path) = CString::new(directory.join("bpf").as_os_str().as_bytes()) else { return };
    // An agent mounts over what is there, so there may be a second one; both go.
    for _ in 0..2 {
        // SAFETY: the path is a valid C string; without a mount there the call fails and changes nothing.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
    if directory.exists()
        && let Err(error) = fs::remove_dir_all(directory)
        && directory.exists()
    {
        eprintln!("the lab could not remove {}: {error}", directory.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_nobody_waited_for_is_gone() {
        let mut child = std::process::Command::new("true").spawn().expect("true is on every system");
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        while lives(child.id()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!lives(child.id()), "it ended and is still in the table");
        assert!(lives(std::process::id()), "we live");
        child.wait().expect("it is ours to wait for");
    }
}
