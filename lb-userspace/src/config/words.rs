//! The words a configuration is written in: modes, policies, states, families.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A word that is none of those possible here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a {what}; give {possible}")]
pub struct UnknownWord {
    /// What was written.
    pub word: String,
    /// What it should have been.
    pub what: &'static str,
    /// The words that are possible.
    pub possible: String,
}

/// An enum whose variants are words: in the file, on the command line, in JSON and in tables the same.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal, { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), what: $what, possible: format!("one of {}", Self::WORDS.join(", ")) }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words! {
    /// How a packet reaches its backend.
    Mode, "mode", {
        /// Full NAT: both addresses are rewritten, nothing on a backend changes.
        Nat = "nat",
        /// Direct server return: only the MAC addresses change.
        DsrL2 = "dsr-l2",
        /// Direct server return, encapsulated in IP.
        DsrIpip = "dsr-ipip",
        /// Direct server return, encapsulated in GUE.
        DsrGue = "dsr-gue",
    }
}

words! {
    /// Where in the kernel the programs run.
    XdpMode, "xdp mode", {
        /// Native where the driver is known to forward well so, generic elsewhere.
        Auto = "auto",
        /// In the driver, or not at all.
        Native = "native",
        /// After the driver, on any device.
        Generic = "generic",
    }
}

words! {
    /// How a backend is chosen for a new connection.
    Policy, "policy", {
        /// A weighted hash of the connection: the same on every balancer.
        Maglev = "maglev",
        /// Each new connection of one source goes to the next backend in turn.
        Spread = "spread",
    }
}

words! {
    /// What the operator wants of a backend.
    AdminState, "state", {
        /// Takes new connections.
        Enabled = "enabled",
        /// Takes no new connections and keeps those it has.
        Draining = "draining",
        /// Takes none, and those it has are reset.
        Disabled = "disabled",
    }
}

words! {
    /// What becomes of a backend's connections when it goes down.
    WhenDown, "way to treat connections", {
        /// They are reset, so that clients dial again at once.
        Reset = "reset",
        /// They stay, until they end by themselves.
        Keep = "keep",
    }
}

words! {
    /// How an https probe asks.
    ProbeMethod, "method", {
        /// With the body, which is not looked at.
        Get = "GET",
        /// Without a body.
        Head = "HEAD",
    }
}

words! {
    /// A class of HTTP status (RFC 9110, section 15).
    StatusClass, "class of status", {
        /// The request was served.
        Success = "2xx",
        /// The answer is elsewhere.
        Redirection = "3xx",
        /// The server does not serve this request.
        ClientError = "4xx",
        /// The server cannot serve now.
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// All, for a server that is up whatever it says.
    pub const ALL: [Self; 4] = [Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    /// Whether a status belongs to it.
    pub fn has(self, status: u16) -> bool {
        let first = match self {
            Self::Success => 2,
            Self::Redirection => 3,
            Self::ClientError => 4,
            Self::ServerError => 5,
        };
        status / 100 == first
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which they are listed.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The prefix length of a single address.
    pub fn host_prefix(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
