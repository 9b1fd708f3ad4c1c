//! An agent that is started again goes on with the weights and the members that the former one had.

use std::{path::Path, time::Duration};

use super::*;
use crate::{
    config::{InterfaceFacts, Overrides},
    health::{FailureReason, Outcome},
    tables::Member,
};

const CONFIG: &str = r#"
interfaces = ["eth0"]
vips = ["10.0.0.10"]
slow_start = "100s"

[probe]
interval = "2s"
fall = 1
rise = 1

[[backends]]
name = "c1"
address = "10.0.0.11"

[[backends]]
name = "c2"
address = "10.0.0.12"

[[backends]]
name = "c3"
address = "10.0.0.13"

[[services]]
name = "api"
port = 6443
"#;

/// An agent's knowledge, and the time.
struct Story {
    state: State,
    now: Instant,
}

fn state(text: &str, ids: BackendIds, memory: Memory, now: Instant) -> State {
    let config = Config::parse(Path::new("xdplb.toml"), text, &Overrides::default());
    let eth0 = InterfaceFacts {
        name: "eth0".into(),
        index: 2,
        mac: [2, 0, 0, 0, 0, 1],
        driver: None,
        mtu: 1500,
        up: true,
        addresses: vec![("10.0.0.10".parse().expect("an address"), 24)],
    };
    let host = HostFacts { interfaces: vec![eth0] };
    State::new(config.expect("this is right"), &host, ids, memory, now).expect("it fits the host")
}

impl Story {
    fn new(text: &str) -> Self {
        let now = Instant::now();
        Self { state: state(text, BackendIds::default(), Memory::default(), now), now }
    }

    /// Time passes.
    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// A probe of a backend, by its position, and the tables after it.
    fn probe(&mut self, service: &str, backend: usize, outcome: Outcome) {
        let probed =
            Probed { service: service.into(), backend: self.state.id_of(backend), family: Family::V4 };
        self.state.probed(&probed, ProbeResult::new(outcome, self.now, self.now));
        self.members();
    }

    fn all(&mut self, outcome: Outcome) {
        (0..3).for_each(|backend| self.probe("api", backend, outcome));
    }

    /// Who takes the new connections of the first service.
    fn members(&mut self) -> Vec<Member> {
        let frontend = self.state.resolved.frontends[0].clone();
        self.state.members(&frontend, socket_of(&frontend), self.now)
    }

    /// The agent is started again, with what it pinned.
    fn restart(&mut self) {
        let memory = self.state.memory();
        self.state = state(CONFIG, self.state.ids.clone(), memory, self.now);
    }
}

const REFUSED: Outcome = Outcome::Failed(FailureReason::Refused);

#[test]
fn a_ramp_goes_on_where_it_was() {
    let mut story = Story::new(CONFIG);
    story.all(Outcome::Up);
    story.probe("api", 1, REFUSED);
    story.pass(10);
    story.probe("api", 1, Outcome::Up);
    story.pass(35);
    let before = story.members();
    assert_eq!(before.iter().map(|member| member.weight).collect::<Vec<_>>(), [10, 4, 10], "{before:?}");
    story.restart();
    assert_eq!(story.members(), before, "before any probe");
    story.pass(20);
    story.all(Outcome::Up);
    let weights: Vec<u16> = story.members().iter().map(|member| member.weight).collect();
    assert_eq!(weights, [10, 6, 10], "and on");
    story.pass(60);
    assert!(story.members().iter().all(|member| member.weight == 1), "to its end");
}

#[test]
fn while_all_are_down_the_last_good_ones_stay_the_same() {
    let mut story = Story::new(CONFIG);
    story.all(Outcome::Up);
    story.probe("api", 2, REFUSED);
    story.pass(60);
    story.all(REFUSED);
    let before = story.members();
    let addresses: Vec<IpAddr> = before.iter().map(|member| member.address).collect();
    assert_eq!(addresses, [IpAddr::from([10, 0, 0, 11]), IpAddr::from([10, 0, 0, 12])], "without c3");
    story.restart();
    assert_eq!(story.members(), before, "before any probe");
    story.all(REFUSED);
    assert_eq!(story.members(), before, "and after");
}

#[test]
fn a_service_that_follows_has_the_health_of_its_own_probe_again() {
    let follower = "[[services]]\nname = \"agent\"\nport = 8132\nfollow = \"api\"\n";
    let mut story = Story::new(&format!("{CONFIG}{follower}"));
    for service in ["api", "agent"] {
        story.probe(service, 0, Outcome::Up);
    }
    story.probe("api", 0, Outcome::NotReady);
    let (frontend, id) = (story.state.resolved.frontends[1].clone(), story.state.id_of(0));
    assert_eq!(story.state.health(&frontend, id), Health::NotReady, "it follows");
    let memory = story.state.memory();
    story.state = state(&format!("{CONFIG}{follower}"), story.state.ids.clone(), memory, story.now);
    assert_eq!(story.state.health(&frontend, id), Health::NotReady, "it still does");
    let own = story.state.machine(&frontend, id).map(Machine::health);
    assert_eq!(own, Some(Health::Up), "but its own port never said so");
}
