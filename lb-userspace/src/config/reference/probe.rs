//! The keys about probes: `[probe]`, for all, and those of a service.

use super::Absent::{Is, Says};
use super::Key;
use super::Section::{Probe, Services};
use super::key;

/// Every key about probes.
pub(super) static KEYS: &[Key] = &[
    key(
        Probe,
        "interval",
        "a duration from 100ms to 1h, such as \"2s\"",
        Is("\"2s\""),
        "From the start of one probe to the start of the next. Each varies by up to a tenth.",
    ),
    key(
        Probe,
        "fast_interval",
        "a duration from 100ms to 1h and at most the interval, such as \"500ms\"",
        Is("\"500ms\""),
        "The interval while a backend is in doubt: failures are counted but not enough, or it was down and answers \
         again but not often enough.",
    ),
    key(
        Probe,
        "timeout",
        "a duration from 10ms to 1m and at most the interval, such as \"1s\"",
        Is("\"1s\""),
        "How long a whole probe may take: connection, TLS handshake and answer.",
    ),
    key(Probe, "fall", "a whole number from 1 to 100", Is("3"), "Failures in a row until a backend is down."),
    key(Probe, "rise", "a whole number from 1 to 100", Is("2"), "Successes in a row until it is up again."),
    key(
        Probe,
        "ca_file",
        "the absolute path of a file",
        Says("none: of a certificate only its end is checked", "\"/etc/xdplb/ca.crt\""),
        "The authorities, in PEM, of which tls and https probes accept a certificate. k0s has its own in \
         /var/lib/k0s/pki/ca.crt. The files of probes are read again when they change.",
    ),
    key(
        Probe,
        "client_certificate_file",
        "the absolute path of a file",
        Says("none: the probe is anonymous", "\"/etc/xdplb/probe.crt\""),
        "The client certificate, in PEM, that the probe of the default service kubernetes-api shows, so that it is told \
         whether the API server is ready. `xdplb k0s-config --probe-credential` says how to make one.",
    ),
    key(
        Probe,
        "client_key_file",
        "the absolute path of a file",
        Says("none", "\"/etc/xdplb/probe.key\""),
        "The key of the client certificate, readable by its owner (and group) only.",
    ),
    key(
        Probe,
        "token_file",
        "the absolute path of a file",
        Says("none: the probe is anonymous", "\"/etc/xdplb/probe.token\""),
        "Instead of a client certificate: a bearer token, readable by its owner (and group) only. It is shown to servers \
         only that ca_file verifies.",
    ),
    key(
        Services,
        "probe",
        "\"tcp\", \"tls\", \"https\" or \"follow:SERVICE\"",
        Is("\"tcp\""),
        "tcp sees whether the port is open, and the process behind it never learns of it. tls makes a whole handshake \
         and closes properly. https asks over TLS: the expected status is up, 401, 403 and 429 opaque (in use), 5xx \
         not-ready (no new connections), anything else a failure. follow takes the health that the backend has for \
         another service, and such a service is never a reason for an event or an alert.",
    ),
    key(
        Services,
        "follow",
        "the name of a service",
        Says("none", "\"kubernetes-api\""),
        "Beside a probe of its own: a backend that is down or not ready for that service is so for this one too.",
    ),
    key(
        Services,
        "probe_interval",
        "a duration from 100ms to 1h, such as \"10s\"",
        Says("interval of [probe]", "\"10s\""),
        "How often this service's backends are probed.",
    ),
    key(
        Services,
        "probe_fast_interval",
        "a duration from 100ms to 1h and at most the interval, such as \"500ms\"",
        Says("fast_interval of [probe], or the interval where that is shorter", "\"500ms\""),
        "How often while one of them is in doubt.",
    ),
    key(
        Services,
        "probe_timeout",
        "a duration from 10ms to 1m and at most the interval, such as \"1s\"",
        Says("timeout of [probe], or the interval where that is shorter", "\"1s\""),
        "How long one of its probes may take.",
    ),
    key(
        Services,
        "probe_fall",
        "a whole number from 1 to 100",
        Says("fall of [probe]", "3"),
        "Failures in a row until a backend is down for this service.",
    ),
    key(
        Services,
        "probe_rise",
        "a whole number from 1 to 100",
        Says("rise of [probe]", "2"),
        "Successes in a row until it is up again for this service.",
    ),
    key(
        Services,
        "probe_path",
        "a path from /, such as \"/readyz\"",
        Says("/readyz", "\"/readyz\""),
        "What an https probe asks for.",
    ),
    key(Services, "probe_method", "\"GET\" or \"HEAD\"", Says("GET", "\"GET\""), "How an https probe asks."),
    key(
        Services,
        "probe_expected_status",
        "a list of \"2xx\", \"3xx\", \"4xx\" and \"5xx\"",
        Says("2xx", "[\"2xx\", \"4xx\"]"),
        "The classes of status that mean up. What is not among them means what `probe` says.",
    ),
    key(
        Services,
        "probe_alpn",
        "a list of names of protocols",
        Says("none is offered", "[\"h2\"]"),
        "The protocols that a tls probe offers by ALPN; the server has to choose one. An https probe offers http/1.1.",
    ),
    key(
        Services,
        "probe_server_name",
        "a DNS name or an IP address",
        Says("the backend's address", "\"kubernetes\""),
        "The name that tls and https probes ask for (SNI) and that a certificate has to be for, where there is a CA file.",
    ),
    key(
        Services,
        "probe_ca_file",
        "the absolute path of a file",
        Says("ca_file of [probe]", "\"/etc/xdplb/ca.crt\""),
        "The authorities for this service.",
    ),
    key(
        Services,
        "probe_client_certificate_file",
        "the absolute path of a file",
        Says("none: the probe is anonymous", "\"/etc/xdplb/probe.crt\""),
        "The client certificate that this service's https probe shows.",
    ),
    key(
        Services,
        "probe_client_key_file",
        "the absolute path of a file",
        Says("none", "\"/etc/xdplb/probe.key\""),
        "Its key.",
    ),
    key(
        Services,
        "probe_token_file",
        "the absolute path of a file",
        Says("none: the probe is anonymous", "\"/etc/xdplb/probe.token\""),
        "Instead of a client certificate: the bearer token that this service's https probe shows.",
    ),
];
