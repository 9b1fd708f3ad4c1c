//! A number that is pinned by itself, and so can be read whatever the rest of the pinned state is like.

use std::path::Path;

use aya::maps::{Array, Map, MapData};

use super::Error;

/// The number, where it is pinned.
pub fn read(path: &Path) -> Option<u32> {
    open(path)?.get(&0, 0).ok()
}

/// Pins the number, or changes one that is pinned.
pub fn write(path: &Path, name: &'static str, number: u32) -> Result<(), Error> {
    let fail = |error: &_| Error::map(name, error);
    if let Some(mut map) = open(path) {
        return map.set(0, number, 0).map_err(|error| fail(&error));
    }
    let mut map = Array::<MapData, u32>::create(1, 0).map_err(|error| fail(&error))?;
    map.set(0, number, 0).map_err(|error| fail(&error))?;
    map.pin(path).map_err(|error| Error::Map { name, reason: error.to_string() })
}

fn open(path: &Path) -> Option<Array<MapData, u32>> {
    Map::from_map_data(MapData::from_pin(path).ok()?).ok()?.try_into().ok()
}
