//! What the pinned maps say of a former agent's work, read before anything of it is changed.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use aya::maps::{Array, HashMap, MapData, MapError};
use lb_common::{
    abi::{Address, AddressV4, AddressV6, Backend, BackendId, Heartbeat, LinkId, backend_state},
    wire::Mac,
};

use super::{Error, tables::pinned};

/// What a former agent left in the tables; nothing, where there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The backends that the data plane knows.
    pub backends: Vec<FormerBackend>,
    /// The numbers of the links, by interface. Flows hold them.
    pub links: BTreeMap<u32, LinkId>,
    /// The last sign of life, `CLOCK_MONOTONIC`, nanoseconds; 0 where there was none.
    pub beat_ns: u64,
}

/// A backend as the data plane knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerBackend {
    /// Its id.
    pub id: BackendId,
    /// Its address.
    pub address: IpAddr,
    /// The link that it was reached by; 0 where that was not known.
    pub link: LinkId,
    /// The next hop's link-layer address; zeros where that was not known.
    pub mac: Mac,
    /// The source address towards it.
    pub snat_address: IpAddr,
}

impl Remains {
    /// Reads them from a pin directory. Maps that are not there hold nothing.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let mut backends =
            backends_of(directory, "BACKENDS_V4", |address: AddressV4| IpAddr::V4(address.into()))?;
        let v6 = backends_of(directory, "BACKENDS_V6", |address: AddressV6| IpAddr::V6(address.into()))?;
        backends.extend(v6);
        let beats: Option<Array<MapData, Heartbeat>> = pinned(directory, "HEARTBEAT")?;
        let beat = beats.map(|beats| beats.get(&0, 0)).transpose();
        let beat_ns = beat.map_err(|error| Error::map("HEARTBEAT", &error))?.map_or(0, |beat| beat.beat_ns);
        Ok(Self { backends, links: links(directory)?, beat_ns })
    }
}

fn backends_of<A: Address>(
    directory: &Path,
    name: &'static str,
    to_ip: fn(A) -> IpAddr,
) -> Result<Vec<FormerBackend>, Error> {
    let Some(table) = pinned::<Array<MapData, Backend<A>>>(directory, name)? else { return Ok(Vec::new()) };
    let mut backends = Vec::new();
    for (id, backend) in (0..).zip(table.iter()) {
        let backend = backend.map_err(|error| Error::map(name, &error))?;
        if backend.state == backend_state::NONE {
            continue;
        }
        backends.push(FormerBackend {
            id,
            address: to_ip(backend.address),
            link: backend.link,
            mac: backend.mac,
            snat_address: to_ip(backend.snat_address),
        });
    }
    Ok(backends)
}

fn links(directory: &Path) -> Result<BTreeMap<u32, LinkId>, Error> {
    const NAME: &str = "LINK_OF_INTERFACE";
    let Some(table) = pinned::<HashMap<MapData, u32, u32>>(directory, NAME)? else {
        return Ok(BTreeMap::new());
    };
    let numbered = table.iter().map(|entry| entry.map(|(interface, link)| (interface, link as LinkId)));
    numbered.collect::<Result<_, MapError>>().map_err(|error| Error::map(NAME, &error))
}
