//! Probes: what k0s gets without a line, what a file may say, and what it may not.

use std::path::Path;
use std::time::Duration;

use super::super::probe::{Credential, HttpsProbe, Probe};
use super::super::render::render;
use super::super::words::{ProbeMethod, StatusClass};
use super::super::{Config, ProbeTiming, Service};
use super::{SHORT, parse, right};

/// The probe of a service that asks over TLS.
fn https(service: &Service) -> &HttpsProbe {
    match &service.probe.value {
        Probe::Https(probe) => probe,
        other => panic!("{} should be probed by https, not {other}", service.name),
    }
}

/// A configuration with this in `[probe]`.
fn with_probe(lines: &str) -> String {
    format!("{SHORT}\n[probe]\n{lines}\n")
}

/// A configuration with one service that says this.
fn with_service(lines: &str) -> String {
    format!("{SHORT}\n[[services]]\nname = \"api\"\nport = 6443\n{lines}\n")
}

#[test]
fn k0s_needs_no_line_about_probes() {
    let config = right(SHORT);
    let [api, agent, server, join] = &config.services[..] else { panic!("k0s has four services") };
    let probe = https(api);
    assert_eq!((probe.path.as_str(), probe.method), ("/readyz", ProbeMethod::Get));
    assert_eq!(probe.expected_status, [StatusClass::Success]);
    assert!(probe.credential.is_none() && probe.trust.ca_file.is_none(), "it asks as nobody, and anybody");
    assert_eq!((api.followed(), api.probed_as()), (None, "kubernetes-api"));

    let Probe::Tls(handshake) = &agent.probe.value else { panic!("gRPC is not asked by http") };
    assert_eq!(handshake.alpn, ["h2"]);
    assert_eq!((agent.followed(), agent.probed_as()), (Some("kubernetes-api"), "konnectivity-agent"));
    assert_eq!((server.followed(), server.probed_as()), (Some("kubernetes-api"), "kubernetes-api"));
    assert_eq!(https(join).expected_status, StatusClass::ALL, "whatever it says, it is up");
    assert_eq!(config.probe.fast_interval, Duration::from_millis(500));
}

#[test]
fn the_files_of_probe_reach_the_default_services_and_the_credential_only_the_api() {
    let text = with_probe("ca_file = \"/ca\"\ntoken_file = \"/token\"");
    let config = right(&text);
    for service in config.services.iter().filter(|service| service.probe.trust().is_some()) {
        let ca = service.probe.trust().and_then(|trust| trust.ca_file.as_ref());
        assert_eq!(ca.map(|ca| &*ca.value), Some(Path::new("/ca")), "{}", service.name);
    }
    assert!(matches!(https(&config.services[0]).credential, Some(Credential::Token(_))));
    assert_eq!(https(&config.services[3]).credential, None, "the join API logs every wrong token");

    let config = right(&with_probe("client_certificate_file = \"/crt\"\nclient_key_file = \"/key\""));
    assert!(matches!(https(&config.services[0]).credential, Some(Credential::ClientCertificate { .. })));
}

#[test]
fn a_service_may_say_everything_about_its_probe_and_check_prints_it() {
    let text = with_service(
        "probe = \"https\"\nprobe_path = \"/livez?verbose\"\nprobe_method = \"HEAD\"\n\
         probe_expected_status = [\"4xx\", \"2xx\", \"2xx\"]\nprobe_server_name = \"kubernetes\"\n\
         probe_ca_file = \"/own-ca\"\nprobe_token_file = \"/token\"\n\
         [[services]]\nname = \"other\"\nport = 8132\nprobe = \"tls\"\nprobe_alpn = [\"h2\", \"grpc-exp\"]\n\
         follow = \"api\"\n[probe]\nca_file = \"/ca\"",
    );
    let config = right(&text);
    let probe = https(&config.services[0]);
    assert_eq!(probe.expected_status, [StatusClass::Success, StatusClass::ClientError]);
    let files = |service: &Service| {
        let ca = service.probe.trust().and_then(|trust| trust.ca_file.as_ref());
        ca.map(|ca| ca.value.display().to_string())
    };
    assert_eq!(files(&config.services[0]).as_deref(), Some("/own-ca"));
    assert_eq!(
        files(&config.services[1]).as_deref(),
        Some("/ca"),
        "that of [probe] where it has none of its own"
    );
    assert_eq!(right(&render(&config)), config);

    let text =
        with_probe("client_certificate_file = \"/crt\"\nclient_key_file = \"/key\"\nca_file = \"/ca\"");
    let defaults: Config = right(&text);
    assert_eq!(right(&render(&defaults)), defaults, "with the credential at the service that shows it");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_next_step() {
    let service = |lines: &str| with_service(lines);
    let table = [
        (service("probe = \"http\""), "give \"tcp\", \"tls\", \"https\" or \"follow:SERVICE\""),
        (
            service("probe_path = \"/readyz\""),
            "probe_path says nothing to this probe; remove it or write probe = \"https\"",
        ),
        (
            service("probe = \"tls\"\nprobe_token_file = \"/t\""),
            "probe_token_file says nothing to this probe",
        ),
        (
            service("probe = \"https\"\nprobe_alpn = [\"h2\"]"),
            "probe_alpn says nothing to this probe; remove it or write probe = \"tls\"",
        ),
        (service("probe = \"https\"\nprobe_path = \"readyz\""), "give a path from /"),
        (service("probe = \"https\"\nprobe_path = \"/a b\""), "give a path from /"),
        (service("probe = \"https\"\nprobe_path = \"/a\\r\\nx: y\""), "give a path from /"),
        (service("probe = \"https\"\nprobe_path = \"/a#b\""), "give a path from /"),
        (service("probe = \"https\"\nprobe_method = \"POST\""), "give one of GET, HEAD"),
        (service("probe = \"https\"\nprobe_expected_status = [\"200\"]"), "give one of 2xx, 3xx, 4xx, 5xx"),
        (service("probe = \"https\"\nprobe_expected_status = []"), "probe_expected_status is empty"),
        (service("probe = \"https\"\nprobe_server_name = \"a b\""), "give a DNS name or an IP address"),
        (service("probe = \"tls\"\nprobe_alpn = [\"\"]"), "give names of protocols"),
        (service("probe = \"tls\"\nprobe_ca_file = \"ca.crt\""), "is relative; give the whole path from /"),
        (service("probe = \"https\"\nprobe_token_file = \"/t\""), "add probe_ca_file (k0s has it in"),
        (
            service("probe = \"https\"\nprobe_client_key_file = \"/k\""),
            "probe_client_key_file is of no use without probe_client_certificate_file; add it",
        ),
        (
            service(
                "probe = \"https\"\nprobe_client_certificate_file = \"/c\"\nprobe_client_key_file = \"/k\"\n\
                 probe_token_file = \"/t\"",
            ),
            "probe_token_file is given beside probe_client_certificate_file; keep one of the two",
        ),
        (service("follow = \"api\""), "\"api\" follows itself"),
        (
            service("probe_interval = \"500ms\"\nprobe_timeout = \"1s\""),
            "probe_timeout = \"1s\" is not possible; give at most the interval, 500ms",
        ),
        (
            service("probe_fast_interval = \"3s\""),
            "probe_fast_interval = \"3s\" is not possible; give at most the interval, 2s",
        ),
        (service("probe_interval = \"1ms\""), "probe_interval = \"1ms\" is not possible"),
        (service("probe_fall = 0"), "probe_fall = 0 is not possible; give a whole number from 1 to 100"),
        (
            service("[[services]]\nname = \"b\"\nport = 1\nprobe = \"follow:api\"\nprobe_rise = 3"),
            "probe_rise says nothing to this probe",
        ),
        (service("probe = \"follow:other\"\nfollow = \"other\""), "has follow beside probe"),
        (service("follow = \"apj\""), "which is not a service; did you mean \"api\"?"),
        (with_probe("token_file = \"/t\""), "add ca_file (k0s has it in"),
        (with_probe("client_certificate_file = \"/c\""), "is of no use without client_key_file"),
        (
            service("[probe]\nca_file = \"/ca\"\ntoken_file = \"/t\""),
            "move it to the [[services]] table that shows it",
        ),
        (
            with_probe("fast_interval = \"3s\""),
            "fast_interval = \"3s\" is not possible; give at most the interval, 2s",
        ),
    ];
    for (text, expected) in table {
        let error = parse(&text).expect_err("this should be refused").to_string();
        assert!(error.starts_with("xdplb.toml:"), "no place: {error}");
        assert!(error.contains(expected), "{error:?} should say {expected:?} of\n{text}");
        assert!(!error.contains('\n'), "more than one line: {error}");
    }
}

#[test]
fn a_service_may_be_asked_at_its_own_pace_and_has_the_rest_of_probe() {
    let text = with_service(
        "probe_interval = \"10s\"\nprobe_timeout = \"3s\"\nprobe_fall = 5\n\
         [[services]]\nname = \"quick\"\nport = 8132\nprobe_interval = \"300ms\"\nprobe_rise = 1\n\
         [[services]]\nname = \"usual\"\nport = 9443\n\
         [probe]\ninterval = \"4s\"\nfast_interval = \"400ms\"\nfall = 4",
    );
    let config = right(&text);
    let seconds = Duration::from_secs;
    let [slow, quick, usual] = &config.services[..] else { panic!("three services") };
    let fast_interval = Duration::from_millis(400);
    let own = ProbeTiming { interval: seconds(10), fast_interval, timeout: seconds(3), fall: 5, rise: 2 };
    assert_eq!(slow.timing, own);
    let short = Duration::from_millis(300);
    let cut = ProbeTiming { interval: short, fast_interval: short, timeout: short, fall: 4, rise: 1 };
    assert_eq!(quick.timing, cut, "what is left out is at most the interval");
    assert_eq!(usual.timing, config.probe, "who says nothing has what [probe] says");
    let printed = render(&config);
    assert!(printed.contains("probe_interval = \"10s\"\nprobe_fast_interval = \"400ms\""), "{printed}");
    assert_eq!(right(&printed), config);

    let defaults = right(&with_probe("interval = \"4s\""));
    assert!(defaults.services.iter().all(|service| service.timing == defaults.probe), "the four of k0s too");
    let printed = render(&defaults);
    let (_, follower) = printed.split_once("name = \"konnectivity-server\"").expect("it is printed");
    let follower = follower.split("[[").next().unwrap_or_default();
    assert!(!follower.contains("probe_interval"), "nobody asks for it: {follower}");
}

#[test]
fn a_fast_interval_left_out_never_exceeds_a_short_interval() {
    let config = right(&with_probe("interval = \"300ms\""));
    assert_eq!(config.probe.fast_interval, Duration::from_millis(300));
}
