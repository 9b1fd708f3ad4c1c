//! The keys about backends that come, leave and fail: for all services, and for one.

use super::Absent::{Is, Says};
use super::Key;
use super::Section::{Services, Top};
use super::key;

/// Every key about the conduct of backends.
pub(super) static KEYS: &[Key] = &[
    key(
        Top,
        "slow_start",
        "a duration from 0s to 1h, such as \"30s\"",
        Is("\"30s\""),
        "How long a backend that was down and comes back takes to get its full share of new connections again, in ten \
         steps; \"0s\" is at once. An API server answers before its caches are full. Services with the policy spread \
         have none, unless they say so themselves.",
    ),
    key(
        Top,
        "drain_timeout",
        "a duration from 1s to 30days, such as \"1h\"",
        Says("none: they end by themselves", "\"1h\""),
        "How long the connections of a draining backend may go on: those that are left then are reset at both ends, \
         once. Removed backends drain too. An agent that is started again begins anew to count.",
    ),
    key(
        Top,
        "fail_open",
        "true or false",
        Is("true"),
        "Whether the backends of a service that were good last keep its new connections when all are down: a balancer \
         that has lost sight of all is more often wrong than right. With false they are refused (RST) until one is \
         back. Backends of which all are not ready (5xx) keep theirs either way, drained and disabled ones never do.",
    ),
    key(
        Top,
        "when_down",
        "\"reset\" or \"keep\"",
        Is("\"reset\""),
        "What becomes of a backend's connections when it goes down: reset ends them, so that clients dial again at once; \
         keep leaves them until they end by themselves.",
    ),
    key(
        Services,
        "slow_start",
        "a duration from 0s to 1h, such as \"30s\"",
        Says("slow_start at the top; with the policy spread none", "\"30s\""),
        "How long a backend that was down and comes back takes to get its full share here.",
    ),
    key(
        Services,
        "fail_open",
        "true or false",
        Says("fail_open at the top", "true"),
        "Whether its last good backends stay in use when all are down.",
    ),
    key(
        Services,
        "when_down",
        "\"reset\" or \"keep\"",
        Says("when_down at the top", "\"reset\""),
        "What becomes of a backend's connections here when it goes down.",
    ),
];
