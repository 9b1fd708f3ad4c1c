//! What the program tells the agent of backends that do not behave.

use std::iter;

use aya::maps::{HashMap, Map, MapData, MapInfo, RingBuf};
use lb_common::abi::{BackendId, Evidence, EvidenceCell, EvidenceEvent, EvidenceKey};
use zerocopy::FromBytes as _;

use super::Rig;

/// The two maps of evidence, which no agent has opened here.
pub struct EvidenceMaps {
    events: RingBuf<MapData>,
    cells: HashMap<MapData, EvidenceKey, EvidenceCell>,
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
            cells: named("EVIDENCE").try_into().expect("it is a table"),
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

    /// What the program remembers of a service on a backend.
    pub fn evidence_of(&mut self, key: EvidenceKey) -> EvidenceCell {
        self.evidence_maps().cells.get(&key, 0).unwrap_or(EvidenceCell::EMPTY)
    }

    /// Changes it.
    pub fn edit_evidence(&mut self, key: EvidenceKey, change: impl FnOnce(&mut EvidenceCell)) {
        let mut cell = self.evidence_of(key);
        change(&mut cell);
        self.evidence_maps().cells.insert(key, cell, 0).expect("a cell can be written");
    }

    /// Lets the program forget what it has seen of backends, and takes what it has told.
    pub fn forget_evidence(&mut self) {
        self.told();
        let cells = &mut self.evidence_maps().cells;
        let keys: Vec<EvidenceKey> = cells.keys().map(|key| key.expect("the table can be walked")).collect();
        for key in keys {
            cells.remove(&key).expect("the cell is there");
        }
    }
}
