//! The controller's side of DSR: the program `decap`, its VIPs and its counters. It shares nothing with the balancer's
//! tables, and has an object and a pin directory of its own.
//!
//! VIPs and program are one: a program is loaded with the addresses that it shall ever know, and takes the place of the
//! former one in the links. So no packet meets half of a change. The counters go from one program to the next.

use std::{collections::BTreeSet, fs, io, net::IpAddr, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, PerCpuArray},
    programs::Xdp,
};
use lb_common::abi::decap::{ALL, COUNTER_CELLS, VERSION, Vip};

use super::{Attachment, Error, PinDirectory, attach, number, pins, tables};

/// The compiled program.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/xdplb-decap-ebpf"));

/// The program, by its name in the object and in the kernel.
const PROGRAM: &str = "decap";
/// The constant of the program that holds the UDP port of GUE.
const GUE_PORT: &str = "GUE_PORT";
/// The map of the VIPs, by its name in the object and in the pin directory.
const VIPS: &str = "VIPS";
/// What the VIPs are pinned as until they take the place of the former ones.
const FRESH_VIPS: &str = "FRESH_VIPS";
/// The map of the counters.
const COUNTERS: &str = "COUNTERS";

/// What is taken out of which tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnels {
    /// The destinations of the inner packets.
    pub vips: BTreeSet<IpAddr>,
    /// The UDP port of GUE.
    pub gue_port: u16,
}

/// The loaded program and its maps.
pub struct Decap {
    ebpf: Ebpf,
    vips: HashMap<MapData, Vip, u32>,
    counters: PerCpuArray<MapData, [u64; COUNTER_CELLS]>,
}

/// What a pin directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The interfaces that have the program.
    pub interfaces: Vec<String>,
    /// What it takes out of which tunnels.
    pub tunnels: Tunnels,
}

impl Decap {
    /// Loads the program with counters of its own, which vanish with the value.
    pub fn load(tunnels: &Tunnels) -> Result<Self, Error> {
        Self::load_by(&mut EbpfLoader::new(), tunnels)
    }

    /// Loads the program onto the pinned counters, making them where there are none of this version.
    pub fn load_pinned(tunnels: &Tunnels, pins: &PinDirectory) -> Result<Self, Error> {
        if number::read(&pins.map(pins::ABI)) != Some(VERSION) {
            for name in [VIPS, FRESH_VIPS, COUNTERS] {
                remove(&pins.map(name)).map_err(|error| Error::map_call(COUNTERS, &error))?;
            }
        }
        let decap = Self::load_by(EbpfLoader::new().map_pin_path(COUNTERS, pins.map(COUNTERS)), tunnels)?;
        number::write(&pins.map(pins::ABI), pins::ABI, VERSION)?;
        Ok(decap)
    }

    fn load_by<'a>(loader: &mut EbpfLoader<'a>, tunnels: &'a Tunnels) -> Result<Self, Error> {
        loader.override_global(GUE_PORT, &tunnels.gue_port, true);
        let mut ebpf = loader.load(OBJECT).map_err(|error| Error::load(&error))?;
        let mut map = |name: &'static str| {
            ebpf.take_map(name).ok_or_else(|| Error::Map { name, reason: "it is not in the object".into() })
        };
        let mut vips: HashMap<_, Vip, u32> =
            map(VIPS)?.try_into().map_err(|error| Error::map(VIPS, &error))?;
        let counters = map(COUNTERS)?.try_into().map_err(|error| Error::map(COUNTERS, &error))?;
        for vip in &tunnels.vips {
            let written = vips.insert(Vip::from(*vip), u32::from(tunnels.gue_port), 0);
            written.map_err(|error| Error::map(VIPS, &error))?;
        }
        let mut decap = Self { ebpf, vips, counters };
        decap.program()?.load().map_err(|error| Error::program(PROGRAM, &error))?;
        Ok(decap)
    }

    /// The program.
    pub fn program(&mut self) -> Result<&mut Xdp, Error> {
        let missing = || Error::Program { name: PROGRAM, reason: "it is not in the object".into() };
        let program = self.ebpf.program_mut(PROGRAM).ok_or_else(missing)?;
        program.try_into().map_err(|error| Error::program(PROGRAM, &error))
    }

    /// Every counter by name, summed over the CPUs.
    pub fn counter_values(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        sums(&self.counters)
    }

    /// Whether the program in the link of an interface is this one, instruction by instruction.
    pub fn is_in_link(&mut self, pins: &PinDirectory, interface: &str) -> Result<bool, Error> {
        let info = self.program()?.info().map_err(|error| Error::program(PROGRAM, &error))?;
        Ok(attach::pinned_program_tag(&pins.link(interface)).is_ok_and(|tag| tag == info.tag()))
    }

    /// Attaches the program to an interface, in the place of the former one if that is attached the same way.
    ///
    /// # Errors
    ///
    /// [`Error::Attach`], with the kernel's reason.
    pub fn attach(
        &mut self,
        pins: &PinDirectory,
        interface: (&str, u32),
        attachment: Attachment,
        former: Option<Attachment>,
    ) -> Result<(), Error> {
        let program = self.program()?;
        match former {
            Some(former) if former != attachment => attach::attach_anew(program, pins, interface, attachment),
            _ => attach(program, pins, interface, attachment),
        }
    }

    /// Pins the VIPs in the place of the former ones, for those who ask what is attached.
    pub fn pin_vips(self, pins: &PinDirectory) -> Result<(), Error> {
        let fresh = pins.map(FRESH_VIPS);
        // One that was killed in this very place leaves one.
        remove(&fresh).map_err(|error| Error::map_call(VIPS, &error))?;
        self.vips.pin(&fresh).map_err(|error| Error::Map { name: VIPS, reason: error.to_string() })?;
        fs::rename(fresh, pins.map(VIPS)).map_err(|error| Error::map_call(VIPS, &error))
    }
}

impl Pinned {
    /// What a pin directory holds; `None` where no program of this version is pinned in it.
    pub fn read(directory: &Path) -> Result<Option<Self>, Error> {
        if number::read(&directory.join(pins::ABI)) != Some(VERSION) {
            return Ok(None);
        }
        let Some(map) = tables::pinned::<HashMap<MapData, Vip, u32>>(directory, VIPS)? else {
            return Ok(None);
        };
        let mut tunnels = Tunnels { vips: BTreeSet::new(), gue_port: 0 };
        for entry in &map {
            let (vip, port) = entry.map_err(|error| Error::map(VIPS, &error))?;
            tunnels.vips.insert(vip.into());
            tunnels.gue_port = port as u16;
        }
        Ok(Some(Self { interfaces: pins::linked_interfaces(directory), tunnels }))
    }
}

/// Every counter of a pin directory by name; none where they are not pinned.
pub fn pinned_counters(directory: &Path) -> Result<Vec<(&'static str, u64)>, Error> {
    let map = tables::pinned::<PerCpuArray<MapData, [u64; COUNTER_CELLS]>>(directory, COUNTERS)?;
    map.map_or_else(|| Ok(Vec::new()), |counters| sums(&counters))
}

fn sums(counters: &PerCpuArray<MapData, [u64; COUNTER_CELLS]>) -> Result<Vec<(&'static str, u64)>, Error> {
    let cells = counters.get(&0, 0).map_err(|error| Error::map(COUNTERS, &error))?;
    let sum = |index: usize| cells.iter().map(|cells| cells[index]).sum();
    Ok(ALL.iter().map(|counter| (counter.name(), sum(*counter as usize))).collect())
}

/// Removes a pin, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
