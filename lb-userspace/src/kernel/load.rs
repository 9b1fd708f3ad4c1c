//! The programs and their maps, loaded once for an agent or for a test.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::MapInfo,
    programs::{Xdp, loaded_programs},
};
use aya_log::Level;
use lb_common::{abi::ABI_VERSION, limits::ENTRIES_PER_CONNECTION};

use super::{DropLines, Error, PinDirectory, Tables, number, pins, syscall, tables};

/// The compiled programs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/xdplb-ebpf"));

/// The program that forwards, by its name in the object and in the kernel.
const FORWARDER: &str = "xdplb";
/// The program that collects.
const COLLECTOR: &str = "collect";

/// How many connections the tables hold. A family that is not balanced gets tables of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Connections in the flow table.
    pub flow_table: u32,
    /// Connections in the half-open tier.
    pub half_open_table: u32,
    /// Whether there is an IPv4 VIP.
    pub ipv4: bool,
    /// Whether there is an IPv6 VIP.
    pub ipv6: bool,
}

/// Whether the program tells of each packet of ours that it drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropLog {
    /// It does not: the verifier leaves out all that this would take.
    Off,
    /// It writes a line into a ring, which [`DataPlane::drop_lines`] reads.
    On,
}

/// Bytes of the ring of lines where none is written: a page, the least that a ring has.
const UNUSED_RING: u32 = 4096;

impl DropLog {
    /// The log level that is compiled into the program, for the life of the loader.
    fn level(self) -> &'static u8 {
        const INFO: u8 = Level::Info as u8;
        match self {
            Self::Off => &0,
            Self::On => &INFO,
        }
    }

    fn prepare(self, loader: &mut EbpfLoader<'_>) {
        loader.override_global(aya_log::LEVEL, self.level(), true);
        if self == Self::Off {
            loader.map_max_entries("AYA_LOGS", UNUSED_RING);
        }
    }
}

/// Connections in the tables of a family without a VIP.
const UNUSED_FAMILY: u32 = 64;

impl Sizes {
    fn entries(self) -> [(&'static str, u32); 4] {
        let of = |used: bool, connections: u32| if used { connections } else { UNUSED_FAMILY } * ENTRIES_PER_CONNECTION;
        [
            ("FLOWS_V4", of(self.ipv4, self.flow_table)),
            ("FLOWS_V6", of(self.ipv6, self.flow_table)),
            ("HALF_OPEN_V4", of(self.ipv4, self.half_open_table)),
            ("HALF_OPEN_V6", of(self.ipv6, self.half_open_table)),
        ]
    }
}

/// The loaded programs and their maps.
pub struct DataPlane {
    ebpf: Ebpf,
    /// The maps.
    pub tables: Tables,
}

impl DataPlane {
    /// Loads the programs with maps of their own, which vanish with the value.
    pub fn load(sizes: Sizes, drop_log: DropLog) -> Result<Self, Error> {
        let mut loader = EbpfLoader::new();
        drop_log.prepare(&mut loader);
        let entries = sizes.entries();
        for (name, entries) in &entries {
            loader.map_max_entries(name, *entries);
        }
        Self::finish(loader.load(OBJECT).map_err(|error| Error::load(&error))?)
    }

    /// Loads the programs onto the pinned maps, making those that are not there yet. Returns what it could not give:
    /// tables of another size, which hold flows and so stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::OtherVersion`] where the pinned maps are of another version: [`discard`] them first, or leave them.
    pub fn load_pinned(
        sizes: Sizes,
        drop_log: DropLog,
        pins: &PinDirectory,
    ) -> Result<(Self, Vec<String>), Error> {
        check_version(pins.path())?;
        let mut loader = EbpfLoader::new();
        drop_log.prepare(&mut loader);
        let mut notes = Vec::new();
        let entries = sizes.entries();
        for (name, entries) in &entries {
            match keep_or_drop(pins, name, *entries)? {
                Some(kept) => {
                    notes.push(format!(
                        "table {name} keeps its {kept} entries instead of {entries} because it holds flows: `xdplb detach` or --discard-flows makes it anew"
                    ));
                    loader.map_max_entries(name, kept);
                }
                None => {
                    loader.map_max_entries(name, *entries);
                }
            }
        }
        for name in tables::PINNED {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut plane = Self::finish(loader.load(OBJECT).map_err(|error| Error::load(&error))?)?;
        number::write(&pins.map(pins::ABI), pins::ABI, ABI_VERSION)?;
        plane.pin_collector(pins)?;
        Ok((plane, notes))
    }

    fn finish(mut ebpf: Ebpf) -> Result<Self, Error> {
        let tables = Tables::take(&mut ebpf)?;
        for name in [FORWARDER, COLLECTOR] {
            program(&mut ebpf, name)?.load().map_err(|error| Error::program(name, &error))?;
        }
        Ok(Self { ebpf, tables })
    }

    /// Pins the program `collect` in the place of a former agent's.
    fn pin_collector(&mut self, pins: &PinDirectory) -> Result<(), Error> {
        let path = pins.map(pins::COLLECT);
        let fail = |error: io::Error| Error::Pins {
            path: path.clone(),
            reason: format!("it cannot be pinned: {error}"),
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        syscall::pin(self.collector_descriptor()?.as_fd(), &path).map_err(fail)
    }

    /// The lines that the program writes about the packets that it drops; `write` is given each. To be asked for once.
    pub fn drop_lines<W: Fn(&str) + Send + Sync>(&mut self, write: W) -> Result<DropLines<W>, Error> {
        DropLines::new(&mut self.ebpf, write)
    }

    /// The program that forwards.
    pub fn forwarder(&mut self) -> Result<&mut Xdp, Error> {
        program(&mut self.ebpf, FORWARDER)
    }

    /// The program that collects.
    pub fn collector(&mut self) -> Result<&mut Xdp, Error> {
        program(&mut self.ebpf, COLLECTOR)
    }

    /// A descriptor of the program that collects, for a thread of its own.
    pub fn collector_descriptor(&mut self) -> Result<OwnedFd, Error> {
        let descriptor = self.collector()?.fd().map_err(|error| Error::program(COLLECTOR, &error))?;
        descriptor
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::Program { name: COLLECTOR, reason: error.to_string() })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, Error> {
    let missing = || Error::Program { name, reason: "it is not in the object".into() };
    ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(|error| Error::program(name, &error))
}

/// Takes away the pinned maps and links of whatever version, and with them every flow. What is known of the host stays.
pub fn discard(pins: &PinDirectory) -> Result<(), Error> {
    let fail = |error: io::Error| Error::Pins {
        path: pins.path().into(),
        reason: format!("the old state cannot be removed: {error}"),
    };
    let sysctls = pins.map(pins::SYSCTLS);
    pins::remove_links(pins.path()).map_err(fail)?;
    let maps = pins::own_pins(pins.path()).map_err(fail)?.into_iter().filter(|path| *path != sysctls);
    maps.into_iter().try_for_each(fs::remove_file).map_err(fail)
}

/// Connections that the pinned tables really hold, of the families that are balanced: in the flow table, and half open.
pub fn capacities(pins: &PinDirectory, sizes: Sizes) -> Result<[u64; 2], Error> {
    let of = |used: bool, name: &'static str| {
        let info = MapInfo::from_pin(pins.map(name)).map_err(|error| Error::map(name, &error))?;
        Ok(if used { u64::from(info.max_entries() / ENTRIES_PER_CONNECTION) } else { 0 })
    };
    Ok([
        of(sizes.ipv4, "FLOWS_V4")? + of(sizes.ipv6, "FLOWS_V6")?,
        of(sizes.ipv4, "HALF_OPEN_V4")? + of(sizes.ipv6, "HALF_OPEN_V6")?,
    ])
}

/// The version of the pinned maps, where there are any.
pub fn pinned_version(directory: &Path) -> Option<u32> {
    number::read(&directory.join(pins::ABI))
}

/// Whether a loaded program is one that forwards, of this xdplb or of another. One that cannot be looked at may be.
pub fn is_forwarder(id: u32) -> bool {
    loaded_programs().any(|program| match program {
        Ok(info) => info.id() == id && info.name_as_str() == Some(FORWARDER),
        Err(_) => true,
    })
}

/// Refuses pinned maps of another version.
pub fn check_version(directory: &Path) -> Result<(), Error> {
    let other = |found| Err(Error::OtherVersion { path: directory.into(), found, wanted: ABI_VERSION });
    match pinned_version(directory) {
        Some(ABI_VERSION) => Ok(()),
        Some(found) => other(found),
        None if directory.join("SETTINGS").exists() => other(0),
        None => Ok(()),
    }
}

/// Decides on a pinned table whose size is not the wanted one: dropped where it is empty, else kept. Returns the size
/// that is kept. aya would take either without a word.
fn keep_or_drop(pins: &PinDirectory, name: &'static str, wanted: u32) -> Result<Option<u32>, Error> {
    let path = pins.map(name);
    if !path.exists() {
        return Ok(None);
    }
    let found = MapInfo::from_pin(&path).map_err(|error| Error::map(name, &error))?.max_entries();
    if found == wanted {
        return Ok(None);
    }
    if tables::is_empty(&path).map_err(|error| Error::map_call(name, &error))? {
        fs::remove_file(&path).map_err(|error| Error::map_call(name, &error))?;
        return Ok(None);
    }
    Ok(Some(found))
}
