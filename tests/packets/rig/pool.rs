//! Rigs that are used by one test after the other: the verifier takes a third of a second for the programs, most tests
//! a hundredth for the rest.

use std::sync::{Mutex, MutexGuard};

use super::{
    Rig, SMALL,
    namespace::{self, Namespace},
    setting::{FAMILIES, Family},
    tables::Tier,
};

/// Those that no test uses now, each with the namespace that its interfaces are in. They end with the process.
static IDLE: Mutex<Vec<(Namespace, Rig)>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<(Namespace, Rig)>> {
    IDLE.lock().expect("nobody panics while he holds the list")
}

/// Runs the work on a rig with the usual sizes, whose tables are as they were in the beginning. A rig in which a test has
/// failed is not used again.
pub fn run(work: impl FnOnce(&mut Rig) + Send) {
    let found = idle().pop();
    let back = namespace::on_a_thread(|| {
        let (namespace, mut rig) = if let Some((namespace, rig)) = found {
            namespace.enter();
            (namespace, rig)
        } else {
            (Namespace::leave_for_a_new_one(), Rig::new(SMALL))
        };
        work(&mut rig);
        rig.clear();
        (namespace, rig)
    });
    idle().push(back);
}

impl Rig {
    /// Empties the flow tables of a family.
    pub fn forget_flows(&mut self, family: Family) {
        for tier in [Tier::Flows, Tier::HalfOpen] {
            for (at, _) in self.all(family, tier) {
                self.remove(tier, at);
            }
        }
    }

    /// Forgets every flow and writes the first setting again.
    fn clear(&mut self) {
        for family in FAMILIES {
            self.forget_flows(family);
        }
        self.closed();
        self.forget_evidence();
        self.ingress = 0;
        self.settings = super::fill::settings();
        self.fill();
    }
}
