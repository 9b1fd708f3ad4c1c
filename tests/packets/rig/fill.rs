//! The tables as an agent would fill them for the setting.

use std::net::SocketAddr;

use lb_common::{
    abi::{
        AddressV4, AddressV6, Backend, Choice, Heartbeat, Link, Service as ServiceEntry, Settings,
        backend_state, policy, settings_flags,
    },
    tick::{Tick, ticks_from_ns},
};
use lb_userspace::kernel::Tables;
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{
    Rig,
    setting::{CONTROLLERS, Controller, FAMILIES, FIRST_PORT, Family, OUR_MAC, PORTS, SERVICES, Service},
    tables::{Typed, endpoint},
};

/// The key of the flow hash.
pub const HASH_KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfeed_face_cafe_beef];

/// The time-outs, in ticks.
pub struct Timeouts {
    /// A connection's silence.
    pub established: u32,
    /// After one FIN.
    pub half_closed: u32,
    /// A handshake.
    pub half_open: u32,
    /// A closed pair.
    pub closed: u32,
    /// One that the backend closed first.
    pub time_wait: u32,
}

/// Seconds as ticks.
pub const fn seconds(seconds: u64) -> u32 {
    ticks_from_ns(seconds * 1_000_000_000)
}

/// The time-outs of every test: all different.
pub const TIMEOUTS: Timeouts = Timeouts {
    established: seconds(7200),
    half_closed: seconds(600),
    half_open: seconds(60),
    closed: seconds(5),
    time_wait: seconds(61),
};

/// The settings that tests begin with.
pub fn settings() -> Settings {
    let mut settings = Settings {
        hash_key: HASH_KEY,
        address_filter: [0; 16],
        established_timeout: TIMEOUTS.established,
        half_closed_timeout: TIMEOUTS.half_closed,
        half_open_timeout: TIMEOUTS.half_open,
        closed_timeout: TIMEOUTS.closed,
        time_wait_timeout: TIMEOUTS.time_wait,
        uncollected_after: seconds(3600),
        snat_port_first: FIRST_PORT,
        snat_port_count: PORTS,
        flags: 0,
    };
    for family in FAMILIES {
        for address in [family.vip(), family.snat()] {
            let bit = match family {
                Family::V4 => AddressV4::of(address).filter_bit(),
                Family::V6 => AddressV6::of(address).filter_bit(),
            };
            settings.address_filter[bit as usize / 64] |= 1 << (bit % 64);
        }
    }
    settings
}

/// Nanoseconds since boot, on the clock of the programs.
pub fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid for writing.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    assert_eq!(failed, 0, "the clock can be read");
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// The tick that it is now.
pub fn now_tick() -> u32 {
    Tick::from_ns(now_ns()).0
}

impl Rig {
    pub(super) fn fill(&mut self) {
        self.write_settings(|_| {});
        self.set_collected(now_ns());
        for link in 0..2 {
            self.set_link_flags(link, 0);
        }
        family::<AddressV4>(&mut self.plane.tables, Family::V4);
        family::<AddressV6>(&mut self.plane.tables, Family::V6);
        for family in FAMILIES {
            for service in [Service::Api, Service::Mapped] {
                self.choose(family, service, &[CONTROLLERS[0]]);
            }
            self.choose(family, Service::Agents, &CONTROLLERS);
            self.choose(family, Service::Empty, &[]);
        }
        for controller in CONTROLLERS {
            for family in FAMILIES {
                self.set_backend_state(family, controller, backend_state::ACTIVE);
            }
        }
    }

    /// Changes the settings.
    pub fn write_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.plane.tables.settings.set(0, self.settings, 0).expect("the settings can be written");
    }

    /// Writes when the agent last collected.
    pub fn set_collected(&mut self, collected_ns: u64) {
        let beat = Heartbeat { beat_ns: collected_ns, started_unix_s: 0, collected_ns, process: 1, zero: 0 };
        self.plane.tables.heartbeat.set(0, beat, 0).expect("the heartbeat can be written");
    }

    /// Writes a link, with these flags for its checksums.
    pub fn set_link_flags(&mut self, index: usize, flags: u16) {
        let id = u32::try_from(index + 1).expect("there are two links");
        let interface = self.interfaces[index];
        let tables = &mut self.plane.tables;
        let link = Link { interface, mac: OUR_MAC[index], flags };
        tables.links.set(id, link, 0).expect("a link can be written");
        tables.link_of_interface.insert(interface, id, 0).expect("a link can be written");
        tables.devices.set(id, interface, None, 0).expect("a device can be written");
        if flags != 0 {
            self.write_settings(|settings| settings.flags |= settings_flags::UNFINISHED_CHECKSUMS);
        }
    }

    /// Sends the service's new connections to these controllers, each slot in turn.
    pub fn choose(&mut self, family: Family, service: Service, controllers: &[Controller]) {
        self.choose_from(family, service, controllers, controllers);
    }

    /// The same with another list of alternatives.
    pub fn choose_from(
        &mut self,
        family: Family,
        service: Service,
        slots: &[Controller],
        rotation: &[Controller],
    ) {
        // Too large for a stack.
        let mut words = vec![0_u32; size_of::<Choice>() / size_of::<u32>()];
        let choice = Choice::mut_from_bytes(words.as_mut_bytes()).expect("a choice is so many words");
        choice.slot_count = u32::try_from(slots.len()).expect("a choice is short");
        choice.rotation_count = u32::try_from(rotation.len()).expect("a choice is short");
        for (slot, controller) in choice.slots.iter_mut().zip(slots) {
            *slot = controller.id;
        }
        for (slot, controller) in choice.rotation.iter_mut().zip(rotation) {
            *slot = controller.id;
        }
        let id = service.id(family).into();
        self.plane.tables.set_choice(id, choice).expect("a choice can be written");
    }

    /// Takes a service away.
    pub fn remove_service(&mut self, family: Family, service: Service) {
        let at = family.service(service);
        let tables = &mut self.plane.tables;
        match family {
            Family::V4 => tables.v4.services.remove(&endpoint::<AddressV4>(at)),
            Family::V6 => tables.v6.services.remove(&endpoint::<AddressV6>(at)),
        }
        .expect("the service is there");
    }

    /// Writes a controller with this state.
    pub fn set_backend_state(&mut self, family: Family, controller: Controller, state: u8) {
        match family {
            Family::V4 => backend::<AddressV4>(&mut self.plane.tables, family, controller, state),
            Family::V6 => backend::<AddressV6>(&mut self.plane.tables, family, controller, state),
        }
    }
}

fn backend<A: Typed>(tables: &mut Tables, family: Family, controller: Controller, state: u8) {
    let known = state == backend_state::ACTIVE;
    let entry = Backend {
        address: A::of(family.controller(controller)),
        snat_address: A::of(family.snat()),
        snat_is_vip: u32::from(controller.vip_is_source),
        mac: if known { controller.mac } else { [0; 6] },
        link: u8::try_from(controller.link + 1).expect("there are two links"),
        state,
        zero: [0; 4],
    };
    let backends = &mut A::tables(tables).backends;
    Tables::set_backend(backends, controller.id, &entry).expect("a backend can be written");
}

fn family<A: Typed>(tables: &mut Tables, family: Family) {
    let tables = A::tables(tables);
    for address in [family.vip(), family.snat()] {
        tables.our_addresses.insert(A::of(address), 0, 0).expect("an address can be written");
    }
    for service in SERVICES {
        let entry = ServiceEntry {
            backend_port: service.backend_port().to_be_bytes(),
            id: service.id(family),
            policy: if service == Service::Agents { policy::SPREAD } else { policy::MAGLEV },
            vip: 0,
            zero: [0; 3],
        };
        let at = endpoint::<A>(family.service(service));
        tables.services.insert(at, entry, 0).expect("a service can be written");
        for controller in CONTROLLERS {
            let at = SocketAddr::new(family.controller(controller), service.backend_port());
            tables.endpoints.insert(endpoint::<A>(at), 0, 0).expect("an endpoint can be written");
        }
    }
}
