//! The program on an interface: a pinned link, replaced atomically by the next agent.

use std::{fs, io, os::fd::AsRawFd, path::Path};

use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

use super::{Error, PinDirectory, pins, syscall};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// In the driver.
    Native,
    /// In the stack, before it.
    Generic,
}

impl Attachment {
    fn mode(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// Attaches the program to an interface; where a link to it is pinned already, only the program in that is replaced,
/// and not a packet is lost.
///
/// # Errors
///
/// [`Error::Attach`], with the kernel's reason.
pub fn attach(
    program: &mut Xdp,
    directory: &PinDirectory,
    (interface, index): (&str, u32),
    attachment: Attachment,
) -> Result<(), Error> {
    let path = directory.link(interface);
    if path.exists() && pinned_interface(&path).is_ok_and(|found| found == index) {
        return take_over(program, interface, &path);
    }
    attach_anew(program, directory, (interface, index), attachment)
}

/// Attaches the program to an interface and pins the link, which takes the place of one that is pinned: that has the
/// program on another interface, or in another way.
///
/// # Errors
///
/// [`Error::Attach`], with the kernel's reason.
pub fn attach_anew(
    program: &mut Xdp,
    directory: &PinDirectory,
    (interface, index): (&str, u32),
    attachment: Attachment,
) -> Result<(), Error> {
    let path = directory.link(interface);
    pins::remove_link(&path)
        .map_err(|error| Error::attach(interface, format!("the old link stays: {error}")))?;
    let id =
        program.attach_to_if_index(index, attachment.mode()).map_err(|error| refusal(interface, &error))?;
    let link = program.take_link(id).map_err(|error| refusal(interface, &error))?;
    let link: FdLink = link.try_into().map_err(|_| {
        Error::attach(
            interface,
            "the kernel makes no link that can be pinned: xdplb needs Linux 5.9 or newer",
        )
    })?;
    link.pin(&path)
        .map_err(|error| Error::attach(interface, format!("its link cannot be pinned: {error}")))?;
    Ok(())
}

/// Replaces the program in a pinned link.
fn take_over(program: &mut Xdp, interface: &str, path: &Path) -> Result<(), Error> {
    let words = |error| Error::attach(interface, Error::link_words(&error));
    let pinned = PinnedLink::from_pin(path).map_err(words)?;
    let link = XdpLink::try_from(FdLink::from(pinned)).map_err(words)?;
    let id = program.attach_to_link(link).map_err(|error| refusal(interface, &error))?;
    // The pin holds the link. A descriptor of ours would keep the program on when the pin has gone.
    drop(program.take_link(id).map_err(|error| refusal(interface, &error))?);
    Ok(())
}

/// The interface that a pinned link belongs to; 0 where the interface is gone.
pub fn pinned_interface(path: &Path) -> io::Result<u32> {
    told_of_link(path, "ifindex:", |index| index.parse().ok())
}

/// The tag of the program in a pinned link: a hash of its instructions.
pub fn pinned_program_tag(path: &Path) -> io::Result<u64> {
    told_of_link(path, "prog_tag:", |tag| u64::from_str_radix(tag, 16).ok())
}

/// What the kernel tells of a pinned link under this name.
fn told_of_link<T>(path: &Path, name: &str, parse: impl Fn(&str) -> Option<T>) -> io::Result<T> {
    let link = syscall::open_pinned(path)?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd()))?;
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|value| parse(value.trim())).ok_or_else(|| io::Error::other("not a link of XDP"))
}

/// A refusal in words, for the causes that users meet.
fn refusal(interface: &str, error: &ProgramError) -> Error {
    let text = super::error::chain(error);
    let reason = if text.contains("os error 16)") {
        "another XDP program is on it: `ip link show` tells which; take it off first".to_owned()
    } else if text.contains("os error 1)") {
        return Error::NotPermitted;
    } else {
        text
    };
    Error::attach(interface, reason)
}
