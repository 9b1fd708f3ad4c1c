//! The exact text of `xdplb status`, as a person sees it.

use super::*;
use crate::control::types::{Admin, Health, samples};

fn style() -> Style {
    Style::plain(samples::moment(312).time())
}

#[test]
fn one_controller_of_two_is_down() {
    let expected = "\
degraded: controller-2 is down
agent: running for 5m12s, version 0.1.0

service             vip              mode  policy  controller-1  controller-2
kubernetes-api      192.0.2.10:6443  nat   maglev  up            down
konnectivity-agent  192.0.2.10:8132  nat   spread  up            down

service             backend       health    for  last probe           ago  certificate
kubernetes-api      controller-1  up      5 min  200 ok              12 s        364 d
kubernetes-api      controller-2  down    2 min  connection refused  12 s            -
konnectivity-agent  controller-1  up      5 min  200 ok              12 s        364 d
konnectivity-agent  controller-2  down    2 min  connection refused  12 s            -

backend       address    weight  state    health  flows
controller-1  10.0.0.11       1  enabled  up        412
controller-2  10.0.0.12       1  enabled  down        0

interfaces  eth0 (native)
flow table  412 of 262144 connections (0 %)
half-open   2 of 32768 connections (0 %)
packets     51234 forwarded, 17 dropped, 90321 not ours
";
    assert_eq!(status(&samples::status(), &style()), expected, "the whole page");
}

#[test]
fn a_backend_that_ramps_up_says_how_far_it_is() {
    let mut sample = samples::status();
    sample.services.truncate(1);
    (sample.services[0].backends[1].health, sample.services[0].backends[1].slow_start_percent) =
        (Health::Up, Some(30));
    let page = status(&sample, &style());
    let row = "kubernetes-api  192.0.2.10:6443  nat   maglev  up            up, ramping up: 30 %\n";
    assert!(page.contains(row), "beside its health: {page}");
    assert!(page.starts_with("ok: 2 of 2 backends in use"), "which is no trouble: {page}");
}

#[test]
fn no_agent_and_two_families() {
    let mut sample = samples::status();
    sample.agent.running = false;
    sample.services.truncate(1);
    let mut second = sample.services[0].clone();
    second.vip = "2001:db8::10".parse().expect("an address");
    second.backends.truncate(1);
    sample.services.push(second);
    sample.backends[0].addresses.push("2001:db8:2::11".parse().expect("an address"));
    sample.backends[1].admin = Admin::Draining;
    for backend in sample.services.iter_mut().flat_map(|service| &mut service.backends) {
        backend.last_probe = None;
        backend.health = Health::Opaque;
    }
    sample.services[0].backends[1].health = Health::Down;
    sample.services[0].backends[1].unused = true;
    sample.warnings.push("eth0 lacks 192.0.2.10: ip addr add 192.0.2.10/32 dev eth0".into());
    let expected = "\
unattended: packets are forwarded, but nobody probes the backends; start `xdplb run`
agent: not running since 2025-01-02T03:04:05Z (5m12s ago), version 0.1.0

service         vip                  mode  policy  controller-1  controller-2
kubernetes-api  192.0.2.10:6443      nat   maglev  opaque        unused
kubernetes-api  [2001:db8::10]:6443  nat   maglev  opaque        -

service                      backend       health    for  last probe  ago  certificate
kubernetes-api 192.0.2.10    controller-1  opaque  5 min  -             -            -
kubernetes-api 192.0.2.10    controller-2  unused  2 min  -             -            -
kubernetes-api 2001:db8::10  controller-1  opaque  5 min  -             -            -

backend       address                    weight  state     health  flows
controller-1  10.0.0.11, 2001:db8:2::11       1  enabled   up        412
controller-2  10.0.0.12                       1  draining  down        0

interfaces  eth0 (native)
flow table  412 of 262144 connections (0 %)
half-open   2 of 32768 connections (0 %)
packets     51234 forwarded, 17 dropped, 90321 not ours

warning: eth0 lacks 192.0.2.10: ip addr add 192.0.2.10/32 dev eth0
";
    assert_eq!(status(&sample, &style()), expected, "the whole page");
}

#[test]
fn a_narrow_terminal_gets_pairs_and_loses_no_health() {
    let narrow = Style { width: Some(66), ..style() };
    let expected = "\
service             vip              policy  backend       health
kubernetes-api      192.0.2.10:6443  maglev  controller-1  up
kubernetes-api      192.0.2.10:6443  maglev  controller-2  down
konnectivity-agent  192.0.2.10:8132  spread  controller-1  up
konnectivity-agent  192.0.2.10:8132  spread  controller-2  down
";
    assert_eq!(services(&samples::status(), &narrow), expected, "one row a pair");
}

#[test]
fn an_agent_that_never_was_is_said_so() {
    let never = Agent { running: false, since: None };
    assert_eq!(agent(&never, &style()), "agent: not running since boot or detach\n", "no heartbeat");
}

#[test]
fn colour_follows_the_word() {
    let color = Style { color: true, ..style() };
    let text = status(&samples::status(), &color);
    assert!(text.starts_with("\x1b[33mdegraded\x1b[0m: "), "yellow: {text}");
    assert!(text.contains("\x1b[31mdown\x1b[0m") && text.contains("\x1b[32mup\x1b[0m"), "red and green");
}
