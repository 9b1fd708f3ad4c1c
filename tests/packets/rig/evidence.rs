//! What the program tells the agent of backends that do not behave.

use std::iter;

use aya::maps::{Array, Map, MapData, MapInfo, RingBuf};
use lb_common::abi::{BackendId, Evidence, EvidenceCell, EvidenceEvent};
use zerocopy::FromBytes as _;

use super::Rig;

/// The two maps of evidence, which no agent has opened here.
pub struct EvidenceMaps {
    events: RingBuf<MapData>,
    cells: Array<MapData, EvidenceCell>,
}

impl EvidenceMaps {
    /// Those of the loaded program.
    fn of(rig: &mut Rig) -> Self {
        let info = rig.forwarder().info().expect("the kernel tells about a program");
        let ids = info.map_ids().expect("the maps have ids").expect("the kernel tells them");
        let named = |name: &str| {
            let has_name = |id: &&u32| {
                let info = MapInfo::from_id(**id).expect("the kernel tells about a map");
                // The kernel keeps 15 bytes of a name.
                info.name_as_str() == Some(&name[..name.len().min(15)])
            };
            let id = ids.iter().find(has_name).unwrap_or_else(|| panic!("the program has the map {name}"));
            let data = MapData::from_id(*id).expect("a map can be opened");
            Map::from_map_data(data).expect("the map is of a known type")
        };
        Self {
            events: named("EVIDENCE_EVENTS").try_into().expect("it is a ring"),
            cells: named("EVIDENCE").try_into().expect("it is an array"),
        }
    }
}

impl Rig {
    fn evidence_maps(&mut self) -> &mut EvidenceMaps {
        if self.evidence.is_none() {
            self.evidence = Some(EvidenceMaps::of(self));
        }
        self.evidence.as_mut().expect("it has just been opened")
    }

    /// What has been told since the last time, in this order: of whom, and what.
    pub fn told(&mut self) -> Vec<(BackendId, Evidence)> {
        let events = &mut self.evidence_maps().events;
        let event = |item: &[u8]| {
            let event = EvidenceEvent::read_from_bytes(item).expect("an element is an event");
            let kind = Evidence::from_number(event.kind).expect("its kind is one of those");
            (event.backend, kind)
        };
        iter::from_fn(|| events.next().map(|item| event(&item))).collect()
    }

    /// Changes what the program remembers of a backend.
    pub fn edit_evidence(&mut self, backend: BackendId, change: impl FnOnce(&mut EvidenceCell)) {
        let cells = &mut self.evidence_maps().cells;
        let mut cell = cells.get(&backend.into(), 0).expect("every backend has a cell");
        change(&mut cell);
        cells.set(backend.into(), cell, 0).expect("a cell can be written");
    }

    /// Lets the program forget what it has seen of backends, and takes what it has told.
    pub fn forget_evidence(&mut self) {
        self.told();
        let cells = &mut self.evidence_maps().cells;
        for backend in 0..32 {
            let cell = cells.get(&backend, 0).expect("every backend has a cell");
            if cell.told != [0; 4] || cell.resets != 0 {
                let empty = EvidenceCell { told: [0; 4], burst_since: 0, resets: 0 };
                cells.set(backend, empty, 0).expect("a cell can be written");
            }
        }
    }
}
