//! What a reset looks like at either end of a connection, and without the right to send one.

use anyhow::Result;
use lb_tests::{
    AgentOptions, Hold, HoldOptions, Lab, PATIENCE,
    requirements::{self, LAB, Need},
};

use crate::setting::{MANY, Setting};

const NEEDS: &[Need] = &[Need::Root, Need::Bpf, Need::Program("ip"), Need::Program("setpriv")];

#[test]
fn the_controller_hears_of_a_reset_as_its_clients_do() -> Result<()> {
    if !requirements::met("the_controller_hears_of_a_reset_as_its_clients_do", LAB) {
        return Ok(());
    }
    // Given connections on which nobody speaks, and others on which only the controller does,
    let mut setting = Setting::usual()?;
    let silent = Hold::start(&setting.lab, &HoldOptions::silent(setting.service(), MANY))?;
    let watching = Hold::start(&setting.lab, &HoldOptions::watching(setting.service(), MANY))?;
    let on_c2 = [silent.backends()?["c2"], watching.backends()?["c2"]].map(|count| count as usize);
    let c2 = setting.take_server("c2")?;
    assert_eq!(c2.resets(), 0, "nothing is reset before anybody asks for it");

    // when a backend is disabled, each of its connections ends by a RST, at the client and at the controller,
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    let mut broken = silent.wait_broken(on_c2[0], PATIENCE)?;
    broken.extend(watching.wait_broken(on_c2[1], PATIENCE)?);
    c2.wait_resets(on_c2.iter().sum())?;

    // and no other connection of either does.
    let others: usize = setting.servers.iter().map(lb_tests::Server::resets).sum();
    let reports = [silent.stop()?, watching.stop()?];
    let at_clients: usize = reports.iter().map(|report| report.broken.len()).sum();
    println!(
        "c2 disabled: {at_clients} connections were reset at the clients, {} at c2, {others} elsewhere",
        c2.resets()
    );
    assert!(broken.iter().all(|one| (&*one.backend, &*one.why) == ("c2", "reset")), "{broken:?}");
    assert_eq!(
        (at_clients, c2.resets(), others),
        (on_c2.iter().sum(), at_clients, 0),
        "both ends, and no others"
    );
    Ok(())
}

#[test]
fn without_cap_net_raw_a_connection_ends_with_its_next_packet() -> Result<()> {
    if !requirements::met("without_cap_net_raw_a_connection_ends_with_its_next_packet", NEEDS) {
        return Ok(());
    }
    // Given an agent that may not send frames,
    let options = AgentOptions { without: Some("net_raw"), ..AgentOptions::default() };
    let setting = Setting::new(Lab::builder(), options)?;
    // The silent ones first: what the kernel acknowledges late is past when the others stand.
    let silent = Hold::start(&setting.lab, &HoldOptions::silent(setting.service(), MANY))?;
    let asking = Hold::start(&setting.lab, &HoldOptions::to(setting.service(), MANY))?;
    let on_c2 = [asking.backends()?["c2"], silent.backends()?["c2"]].map(|count| count as usize);

    // when a backend is disabled, it says what it lacks, those that ask are reset with their next request,
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    setting.wait_log("connections end with their next packet; give the agent CAP_NET_RAW")?;
    asking.wait_broken(on_c2[0], PATIENCE)?;

    // and those that are silent when they speak again.
    assert_eq!(silent.broken_so_far(), 0, "nothing was sent to those on which nobody speaks");
    let reports = [asking.stop()?, silent.stop()?];
    println!(
        "without CAP_NET_RAW: {on_c2:?} of two times {MANY} connections were reset, each with its next packet"
    );
    for (report, on_c2) in reports.iter().zip(on_c2) {
        let by_a_reset = report.broken.iter().all(|one| (&*one.backend, &*one.why) == ("c2", "reset"));
        assert!(by_a_reset, "those of c2, by a RST: {:?}", report.broken);
        assert_eq!(report.broken.len(), on_c2, "each of them, and no others");
    }
    Ok(())
}

/// The source port of a connection that was reset is free at its client, which may use it again at once.
#[test]
fn a_client_comes_again_from_the_port_of_a_reset_connection() -> Result<()> {
    if !requirements::met("a_client_comes_again_from_the_port_of_a_reset_connection", LAB) {
        return Ok(());
    }
    // Given silent connections from known ports, of which those of one backend are reset,
    let setting = Setting::usual()?;
    let options = HoldOptions { ports_from: Some(10_000), ..HoldOptions::silent(setting.service(), MANY) };
    let hold = Hold::start(&setting.lab, &options)?;
    let on_c2 = hold.backends()?["c2"] as usize;
    setting.agent.xdplb(&["backend", "disable", "c2"])?;
    hold.wait_broken(on_c2, PATIENCE)?;
    hold.stop()?;

    // when the client connects from the same ports again, each connection stands, with another backend.
    let report = Hold::start(&setting.lab, &options)?.stop()?;
    println!(
        "{on_c2} of {MANY} were reset; from the same ports {} stand, failed: {:?}",
        report.opened, report.failures
    );
    assert_eq!((report.opened, report.backends.get("c2")), (MANY, None), "{:?}", report.failures);
    Ok(())
}
