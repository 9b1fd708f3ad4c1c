//! Texts pinned beside the maps: what the next agent needs and the data plane does not.
//!
//! A text is the one element of an array map that is as long as the text. Each version is a map of its own, pinned under
//! a temporary name and then renamed over the former one. So whoever reads finds the old text or the new one, whole, and
//! there is no moment without one.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use aya::maps::MapData;

use super::{pins, syscall};

/// The key of the one element.
const KEY: [u8; 4] = 0u32.to_ne_bytes();

/// Pins a text, in the place of the former one.
pub fn store(path: &Path, text: &[u8]) -> io::Result<()> {
    let map = syscall::create_array(u32::try_from(text.len()).map_err(io::Error::other)?)?;
    syscall::update(map.as_fd(), &KEY, text)?;
    let fresh = fresh(path);
    // An agent that was killed in this very place leaves one.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => syscall::pin(map.as_fd(), &fresh)?,
    }
    fs::rename(fresh, path)
}

/// Reads a pinned text; `None` where there is none.
pub fn load(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let map = match syscall::open_pinned(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        map => MapData::from_fd(map?).map_err(io::Error::other)?,
    };
    let length = map.info().map_err(io::Error::other)?.value_size();
    let mut text = vec![0; length as usize];
    syscall::lookup(map.fd().as_fd(), &KEY, &mut text)?;
    Ok(Some(text))
}

/// Where a text is pinned before it takes the place of the former one.
fn fresh(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(pins::FRESH_SUFFIX);
    name.into()
}
