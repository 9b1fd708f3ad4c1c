//! The maps as typed values.

use std::{
    io,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::Path,
};

use aya::{
    Ebpf,
    maps::{Array, ArrayOfMaps, DevMap, HashMap, Map, MapData, PerCpuArray, RingBuf},
};
use lb_common::{
    abi::{
        Address, AddressV4, AddressV6, Backend, BackendId, Choice, Endpoint, EvidenceEvent, Flow, FlowKey,
        HalfOpen, Heartbeat, Link, Service, Settings,
    },
    counters::{self, COUNTER_CELLS},
};

use zerocopy::FromBytes as _;

use super::{Error, syscall};

/// Every map that outlives the agent, by its name in the object and in the pin directory.
pub const PINNED: &[&str] = &[
    "FLOWS_V4",
    "FLOWS_V6",
    "HALF_OPEN_V4",
    "HALF_OPEN_V6",
    "SERVICES_V4",
    "SERVICES_V6",
    "ENDPOINTS_V4",
    "ENDPOINTS_V6",
    "BACKENDS_V4",
    "BACKENDS_V6",
    "SPREAD_V4",
    "SPREAD_V6",
    "OUR_ADDRESSES_V4",
    "OUR_ADDRESSES_V6",
    "SETTINGS",
    "HEARTBEAT",
    "LINKS",
    "LINK_OF_INTERFACE",
    "DEVICES",
    "CHOICES",
    "COUNTERS",
    "CLOSED",
    "EVIDENCE",
    "EVIDENCE_EVENTS",
];

/// The maps of one family.
pub struct FamilyTables<A: Address> {
    /// The flow table.
    pub flows: HashMap<MapData, FlowKey<A>, Flow<A>>,
    /// The half-open tier.
    pub half_open: HashMap<MapData, FlowKey<A>, HalfOpen<A>>,
    /// The services.
    pub services: HashMap<MapData, Endpoint<A>, Service>,
    /// The backends' service ports.
    pub endpoints: HashMap<MapData, Endpoint<A>, u32>,
    /// The backends.
    pub backends: Array<MapData, Backend<A>>,
    /// VIPs and SNAT addresses.
    pub our_addresses: HashMap<MapData, A, u32>,
}

/// All maps.
pub struct Tables {
    /// IPv4.
    pub v4: FamilyTables<AddressV4>,
    /// IPv6.
    pub v6: FamilyTables<AddressV6>,
    /// The settings.
    pub settings: Array<MapData, Settings>,
    /// The agent's sign of life.
    pub heartbeat: Array<MapData, Heartbeat>,
    /// The links.
    pub links: Array<MapData, Link>,
    /// Links by interface.
    pub link_of_interface: HashMap<MapData, u32, u32>,
    /// The devices of the links, for redirects.
    pub devices: DevMap<MapData>,
    /// Whom the services' new connections go to.
    pub choices: ArrayOfMaps<MapData, Array<MapData, Choice>>,
    /// What happened how often.
    pub counters: PerCpuArray<MapData, [u64; COUNTER_CELLS]>,
    /// The flows that were closed lately.
    pub closed: RingBuf<MapData>,
}

/// Where maps come from.
trait Source {
    fn map(&mut self, name: &'static str) -> Result<Map, Error>;
}

impl Source for Ebpf {
    fn map(&mut self, name: &'static str) -> Result<Map, Error> {
        self.take_map(name).ok_or_else(|| Error::Map { name, reason: "it is not in the object".into() })
    }
}

impl Source for &Path {
    fn map(&mut self, name: &'static str) -> Result<Map, Error> {
        let data = MapData::from_pin(self.join(name)).map_err(|error| Error::map(name, &error))?;
        Map::from_map_data(data).map_err(|error| Error::map(name, &error))
    }
}

/// A map of a source as the type that is wanted.
fn typed<T>(source: &mut impl Source, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    T::try_from(source.map(name)?).map_err(|error| Error::map(name, &error))
}

/// One map of a pin directory; `None` where it is not pinned.
pub(super) fn pinned<T>(mut directory: &Path, name: &'static str) -> Result<Option<T>, Error>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    if directory.join(name).exists() { typed(&mut directory, name).map(Some) } else { Ok(None) }
}

impl Tables {
    /// The maps of a loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Self::from_source(ebpf)
    }

    /// The maps of a pin directory.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] where one is missing or of another version.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::from_source(&mut &*directory)
    }

    fn from_source(source: &mut impl Source) -> Result<Self, Error> {
        Ok(Self {
            v4: FamilyTables {
                flows: typed(source, "FLOWS_V4")?,
                half_open: typed(source, "HALF_OPEN_V4")?,
                services: typed(source, "SERVICES_V4")?,
                endpoints: typed(source, "ENDPOINTS_V4")?,
                backends: typed(source, "BACKENDS_V4")?,
                our_addresses: typed(source, "OUR_ADDRESSES_V4")?,
            },
            v6: FamilyTables {
                flows: typed(source, "FLOWS_V6")?,
                half_open: typed(source, "HALF_OPEN_V6")?,
                services: typed(source, "SERVICES_V6")?,
                endpoints: typed(source, "ENDPOINTS_V6")?,
                backends: typed(source, "BACKENDS_V6")?,
                our_addresses: typed(source, "OUR_ADDRESSES_V6")?,
            },
            settings: typed(source, "SETTINGS")?,
            heartbeat: typed(source, "HEARTBEAT")?,
            links: typed(source, "LINKS")?,
            link_of_interface: typed(source, "LINK_OF_INTERFACE")?,
            devices: typed(source, "DEVICES")?,
            choices: typed(source, "CHOICES")?,
            counters: typed(source, "COUNTERS")?,
            closed: typed(source, "CLOSED")?,
        })
    }

    /// Every counter by name, summed over the CPUs.
    pub fn counter_values(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let cells = self.counters.get(&0, 0).map_err(|error| Error::map("COUNTERS", &error))?;
        let sum = |index: usize| cells.iter().map(|cells| cells[index]).sum();
        Ok(counters::ALL.iter().map(|counter| (counter.name(), sum(*counter as usize))).collect())
    }

    /// Gives a service another table: filled first, then swapped in one step.
    pub fn set_choice(&mut self, service: u32, choice: &Choice) -> Result<(), Error> {
        let fail = |error: &aya::maps::MapError| Error::map("CHOICES", error);
        let mut inner = Array::<MapData, Choice>::create(1, 0).map_err(|error| fail(&error))?;
        inner.set(0, choice, 0).map_err(|error| fail(&error))?;
        self.choices.set(service, &inner, 0).map_err(|error| fail(&error))
    }

    /// Writes a backend of one family.
    pub fn set_backend<A: Address>(
        table: &mut Array<MapData, Backend<A>>,
        id: BackendId,
        backend: &Backend<A>,
    ) -> Result<(), Error> {
        table.set(id.into(), backend, 0).map_err(|error| Error::map("BACKENDS", &error))
    }
}

/// The ring that tells of backends that do not behave, opened by itself for the task that reads it.
pub struct EvidenceRing(RingBuf<MapData>);

impl EvidenceRing {
    /// The ring of a pin directory.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] where it is missing or of another version.
    pub fn open(mut directory: &Path) -> Result<Self, Error> {
        typed(&mut directory, "EVIDENCE_EVENTS").map(Self)
    }

    /// The next event.
    #[expect(clippy::should_implement_trait, reason = "it is the name that the ring gives it")]
    pub fn next(&mut self) -> Option<EvidenceEvent> {
        EvidenceEvent::read_from_bytes(&self.0.next()?).ok()
    }
}

impl AsRawFd for EvidenceRing {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The ring that tells of closed flows, opened by itself for the thread that reads it.
pub struct ClosedFlows(RingBuf<MapData>);

impl ClosedFlows {
    /// The ring of a pin directory.
    pub fn open(mut directory: &Path) -> Result<Self, Error> {
        typed(&mut directory, "CLOSED").map(Self)
    }

    /// The bytes of the next key.
    #[expect(clippy::should_implement_trait, reason = "the item borrows from the ring")]
    pub fn next(&mut self) -> Option<impl Deref<Target = [u8]> + '_> {
        self.0.next()
    }
}

/// Whether a pinned hash table holds nothing.
pub fn is_empty(path: &Path) -> io::Result<bool> {
    let info = aya::maps::MapInfo::from_pin(path).map_err(io::Error::other)?;
    let map = syscall::open_pinned(path)?;
    let capacity = 64;
    let mut keys = vec![0; capacity * info.key_size() as usize];
    let mut values = vec![0; capacity * info.value_size() as usize];
    let mut from = None;
    loop {
        let batch = syscall::lookup_batch(map.as_fd(), from, &mut keys, &mut values, capacity)?;
        if batch.count > 0 {
            return Ok(false);
        }
        if batch.next.is_none() {
            return Ok(true);
        }
        from = batch.next;
    }
}
