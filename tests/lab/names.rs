//! How everything the laboratory makes is called, so that it can be found again and removed.
//!
//! Every namespace, interface and directory begins with `xlb`. The id says who made it: `<pid>x<n>` for a lab
//! that belongs to a process, any other word for a lab that was asked to outlive it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Where `ip netns` keeps its names.
pub const NETNS_DIR: &str = "/run/netns";
/// What everything begins with.
pub const PREFIX: &str = "xlb";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An id that no other lab of any living process has.
pub fn fresh_id() -> String {
    format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The name of a node's namespace.
pub fn namespace(id: &str, node: &str) -> String {
    format!("{PREFIX}{id}-{node}")
}

/// The directory of a lab: configuration, sockets, logs and its own bpffs.
pub fn directory(id: &str) -> PathBuf {
    Path::new("/run").join(format!("{PREFIX}{id}"))
}

/// The id in the name of a namespace or directory, if it is one of ours.
pub fn id_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(PREFIX)?;
    let id = rest.split_once('-').map_or(rest, |(id, _)| id);
    (!id.is_empty()).then_some(id)
}

/// The process that owns a lab; `None` for a lab that was asked to stay.
pub fn owner_of(id: &str) -> Option<u32> {
    let (pid, count) = id.split_once('x')?;
    count.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_owner() {
        let id = fresh_id();
        let name = namespace(&id, "c1");
        assert_eq!(id_of(&name), Some(id.as_str()), "the id is read from {name}");
        assert_eq!(owner_of(&id), Some(std::process::id()));
        assert_eq!(owner_of("demo"), None, "a kept lab has no owner");
        assert_eq!(id_of("other-netns"), None, "what is not ours is not ours");
    }

    #[test]
    fn ids_differ() {
        assert_ne!(fresh_id(), fresh_id());
    }
}
