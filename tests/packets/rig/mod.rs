//! The programs in a namespace of their own, with the tables of one setting, and the one way to run a packet.

mod conversation;
mod evidence;
mod fill;
mod namespace;
mod pool;
mod redispatch;
mod row;
mod run;
pub mod setting;
mod strangers;
mod tables;
mod talk;

use aya::programs::Xdp;
use lb_common::abi::Settings;
use lb_tests::requirements;
use lb_userspace::{
    kernel::{DataPlane, DropLog, Sizes, collect::Collector},
    net,
};

pub use conversation::{Conversation, reset_for};
pub use fill::{TIMEOUTS, now_ns, now_tick, seconds};
pub use namespace::{index_of, ip};
pub use redispatch::times;
pub use row::{Row, difference};
pub use run::{Verdict, run};
pub use tables::{Entry, Tier, Tuple, key_bytes};

/// Tables that are large enough for most tests.
pub const SMALL: Sizes = Sizes { flow_table: 256, half_open_table: 256, ipv4: true, ipv6: true };

/// The loaded programs, their maps, and the interfaces around them.
pub struct Rig {
    /// Programs and maps.
    pub plane: DataPlane,
    /// The settings as they were written last.
    pub settings: Settings,
    /// The kernel's numbers of eth0 and eth1.
    pub interfaces: [u32; 2],
    /// The index of the link that packets come by.
    pub ingress: usize,
    collector: Option<Collector>,
    evidence: Option<evidence::EvidenceMaps>,
}

/// Runs a test in a namespace of its own, with tables of its own. Skips it where the machine does not permit that.
pub fn with(test: &str, sizes: Sizes, work: impl FnOnce(&mut Rig) + Send) {
    if requirements::met(test, requirements::LAB) {
        namespace::on_a_thread(|| {
            let _namespace = namespace::Namespace::leave_for_a_new_one();
            work(&mut Rig::new(sizes));
        });
    }
}

/// Runs a test with programs that tell of the packets that they drop.
pub fn with_drop_log(test: &str, work: impl FnOnce(&mut Rig) + Send) {
    if requirements::met(test, requirements::LAB) {
        namespace::on_a_thread(|| {
            let _namespace = namespace::Namespace::leave_for_a_new_one();
            work(&mut Rig::loaded(SMALL, DropLog::On));
        });
    }
}

/// Does the work once for each family, with tables of the usual sizes that are empty in the beginning.
pub fn each_family(test: &str, work: impl Fn(&mut Rig, setting::Family) + Send) {
    if requirements::met(test, requirements::LAB) {
        pool::run(move |rig| {
            for family in setting::FAMILIES {
                work(rig, family);
            }
        });
    }
}

impl Rig {
    fn new(sizes: Sizes) -> Self {
        Self::loaded(sizes, DropLog::Off)
    }

    fn loaded(sizes: Sizes, drop_log: DropLog) -> Self {
        let mut lines = setting::links();
        lines.extend(setting::FAMILIES.into_iter().flat_map(setting::Family::layout));
        ip(&lines);
        // What this changes belongs to a namespace that is about to go.
        let told = net::FibSysctls::missing().and_then(net::FibSysctls::set);
        told.expect("the loopback may be told to forward");
        let interfaces = ["eth0", "eth1"].map(index_of);
        let plane =
            DataPlane::load(sizes, drop_log).unwrap_or_else(|error| panic!("the programs load: {error}"));
        let settings = fill::settings();
        let mut rig = Self { plane, settings, interfaces, ingress: 0, collector: None, evidence: None };
        rig.fill();
        rig
    }

    /// The program that forwards.
    pub fn forwarder(&mut self) -> &Xdp {
        self.plane.forwarder().expect("the program is loaded")
    }

    /// The program that collects.
    pub fn collector(&mut self) -> &mut Collector {
        let plane = &mut self.plane;
        self.collector.get_or_insert_with(|| {
            Collector::new(plane.collector_descriptor().expect("the program is loaded"))
        })
    }
}
