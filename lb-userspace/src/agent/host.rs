//! What an agent changes of the host beside its own pins, and how all of it is taken back.
//!
//! Two sysctls are set, where they were not. Which ones is pinned before they are, so that whoever detaches knows it,
//! however many agents have died since. And neighbours are put under the kernel's management. Nobody remembers which:
//! the kernel does, each of them bears our mark.
//!
//! Another xdplb in the same network namespace needs both. While there is one nothing is taken back; the last to go
//! takes back every neighbour, but knows only of the sysctls that its own agents have set.

use std::path::Path;

use crate::{
    kernel::{self, PinDirectory, number, pins},
    net::{self, FibSysctls, Netlink},
};

/// Lets the kernel's route look-up answer. Returns what was changed of the host, by name.
pub fn prepare(pins: &PinDirectory) -> anyhow::Result<Vec<&'static str>> {
    let missing = FibSysctls::missing()?;
    let changed = changed(pins.path()).and(missing);
    number::write(&pins.map(pins::SYSCTLS), pins::SYSCTLS, changed.bits())?;
    missing.set()?;
    Ok(missing.names().collect())
}

/// The sysctls that agents of this pin directory have set.
fn changed(directory: &Path) -> FibSysctls {
    FibSysctls::from_bits(number::read(&directory.join(pins::SYSCTLS)).unwrap_or(0))
}

/// What was taken off.
pub struct Detached {
    interfaces: Vec<String>,
    /// What stays, and why.
    pub notes: Vec<String>,
}

impl Detached {
    /// What has happened, in words.
    pub fn words(&self) -> String {
        match self.interfaces.as_slice() {
            [] => "the pinned state is gone".into(),
            some => format!("the programs are off {} and the pinned state is gone", some.join(", ")),
        }
    }
}

/// Takes everything off: the programs, what was changed of the host, the pinned state. The caller holds the lock of the
/// directory.
///
/// # Errors
///
/// Where the host cannot be given back what it had; the pinned state goes all the same.
pub async fn detach(directory: &Path) -> anyhow::Result<Detached> {
    let interfaces = pins::linked_interfaces(directory);
    let sysctls = changed(directory);
    // First the programs: without the sysctls they find no next hops.
    pins::remove_links(directory)?;
    let given_back = give_back(sysctls).await;
    pins::remove_all(directory)?;
    Ok(Detached { interfaces, notes: given_back?.into_iter().collect() })
}

/// Gives back to the host what it had, or says why not.
async fn give_back(sysctls: FibSysctls) -> Result<Option<String>, net::Error> {
    let netlink = Netlink::open()?;
    let programs = netlink.xdp_programs().await?;
    let others: Vec<String> = programs
        .into_iter()
        .filter(|(_, id)| kernel::load::is_forwarder(*id))
        .map(|(name, _)| name)
        .collect();
    if others.is_empty() {
        netlink.release_neighbours().await?;
        sysctls.restore()?;
        return Ok(None);
    }
    let names: Vec<&str> = sysctls.names().collect();
    let stays = match names.as_slice() {
        [] => return Ok(None),
        some => some.join(" and "),
    };
    let others = others.join(", ");
    Ok(Some(format!(
        "{stays} stay 1 for the xdplb on {others}: set to 0 what nobody needs when it has gone too"
    )))
}
