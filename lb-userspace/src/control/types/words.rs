//! The fixed words of the schema, each an enum whose text is the same in JSON and in tables.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An enum with one word a variant, so that JSON and tables cannot disagree about the spelling.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word, as JSON and tables write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What the probes say of one backend in one service.
    Health {
        /// Not probed yet, and in use.
        Unverified = "unverified",
        /// Answers its probe.
        Up = "up",
        /// Answers, but may not tell how it is (401 or 403 from the API server): in use.
        Opaque = "opaque",
        /// Says itself that it is not ready (5xx): no new flows, old ones stay.
        NotReady = "not-ready",
        /// Does not answer: no flows.
        Down = "down",
    }
}

words! {
    /// What the administrator wants of a backend.
    Admin {
        /// Takes flows.
        Enabled = "enabled",
        /// Takes no new flows; old ones end by themselves.
        Draining = "draining",
        /// Takes no flows; old ones were reset.
        Disabled = "disabled",
    }
}

words! {
    /// How packets reach a backend.
    Mode {
        /// Both addresses are rewritten; the backend knows nothing of the balancer.
        Nat = "nat",
        /// Only the MAC addresses change; the backend answers the client itself.
        DsrL2 = "dsr-l2",
        /// Encapsulated in IP; the backend answers the client itself.
        DsrIpip = "dsr-ipip",
        /// Encapsulated in UDP (GUE); the backend answers the client itself.
        DsrGue = "dsr-gue",
    }
}

words! {
    /// How a new connection is given its backend.
    Policy {
        /// By a weighted consistent hash of the five-tuple.
        Maglev = "maglev",
        /// Each new connection of one source goes to the next backend in turn.
        Spread = "spread",
    }
}

words! {
    /// How the program is attached to an interface.
    XdpMode {
        /// In the driver.
        Native = "native",
        /// In the network stack, behind the driver.
        Generic = "generic",
        /// Not attached: the interface is gone, or something took the program off.
        Detached = "detached",
    }
}

words! {
    /// Whether somebody should look at an event.
    EventLevel {
        /// Good to know.
        Info = "info",
        /// Somebody should look at it.
        Warning = "warning",
    }
}

words! {
    /// What kind of thing has changed.
    EventKind {
        /// The agent has started or ends.
        Agent = "agent",
        /// What the probes of a service say of a backend.
        Health = "health",
        /// What the administrator wants of a backend.
        Admin = "admin",
        /// A backend is new in the configuration.
        BackendAdded = "backend-added",
        /// A backend has gone from the configuration.
        BackendRemoved = "backend-removed",
        /// A backend's share of new connections.
        Weight = "weight",
        /// No backend of a service is healthy, or one is again.
        FailOpen = "fail-open",
        /// What servers think of the credential that the probes show.
        Credential = "credential",
        /// A certificate ends soon, has ended, or was renewed.
        Certificate = "certificate",
        /// The configuration was read again, or refused.
        Configuration = "configuration",
        /// The program was put on an interface or taken off it.
        Attachment = "attachment",
        /// Connections were reset because somebody asked for it.
        FlowsReset = "flows-reset",
        /// The SNAT ports of one controller and port run short, or no more.
        SnatPorts = "snat-ports",
        /// Something about this host.
        Host = "host",
        /// This reader was too slow, and missed some.
        Missed = "missed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_display_spell_alike() {
        for health in Health::ALL {
            let json = serde_json::to_string(health).expect("a word serialises");
            assert_eq!(json, format!("\"{health}\""), "JSON and tables must use the same word");
        }
        assert_eq!(format!("{:>6}|", Health::Up), "    up|", "padding must work on words");
    }
}
