//! What went wrong with a connection, from what the libraries say of it.

use std::error::Error as StdError;
use std::io;

use rustls::AlertDescription as Alert;
use rustls::Error as TlsError;

use crate::health::failure::FailureReason;
use crate::health::outcome::Outcome;

/// What went wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::health::probe) enum Trouble {
    /// The probe failed.
    Failed(FailureReason),
    /// The server lives, and does not like the client certificate or the lack of one.
    ClientCertificate,
}

impl From<FailureReason> for Trouble {
    fn from(reason: FailureReason) -> Self {
        Self::Failed(reason)
    }
}

impl Trouble {
    /// What it says of the backend. One that refuses the client certificate is as opaque as one that answers 401.
    pub(in crate::health::probe) fn outcome(self) -> Outcome {
        match self {
            Self::Failed(reason) => Outcome::Failed(reason),
            Self::ClientCertificate => Outcome::Opaque,
        }
    }

    /// Names an error, by what is at the bottom of it.
    pub(in crate::health::probe) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<TlsError>() {
                return Self::of_tls(error);
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                let within = error.get_ref().and_then(|within| within.downcast_ref::<TlsError>());
                return within.map_or_else(|| FailureReason::from_connect_error(error).into(), Self::of_tls);
            }
            next = error.source();
        }
        FailureReason::Closed.into()
    }

    fn of_tls(error: &TlsError) -> Self {
        let reason = match error {
            TlsError::AlertReceived(alert) => return Self::of_alert(*alert),
            // The first bytes of anything else that speaks first, or answers a ClientHello as text.
            TlsError::InvalidMessage(_) => FailureReason::NotTls,
            TlsError::PeerIncompatible(_) => FailureReason::NoCommonTls,
            TlsError::NoApplicationProtocol => FailureReason::NoCommonAlpn,
            TlsError::InvalidCertificate(_) => FailureReason::Certificate,
            _ => FailureReason::Tls,
        };
        Self::Failed(reason)
    }

    fn of_alert(alert: Alert) -> Self {
        let reason = match alert {
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            // The signature over a client certificate, or within it, is wrong: of another authority, say.
            | Alert::DecryptError
            | Alert::CertificateRequired => return Self::ClientCertificate,
            Alert::NoApplicationProtocol => FailureReason::NoCommonAlpn,
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                FailureReason::NoCommonTls
            }
            Alert::UnrecognisedName => FailureReason::UnknownServerName,
            other => FailureReason::TlsAlert(other.into()),
        };
        Self::Failed(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_libraries_say_is_named() {
        let io = |kind| io::Error::from(kind);
        let wrapped = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let table = [
            (io(io::ErrorKind::UnexpectedEof), FailureReason::Closed.into()),
            (io::Error::from_raw_os_error(libc::ECONNRESET), FailureReason::Reset.into()),
            (
                wrapped(TlsError::AlertReceived(Alert::NoApplicationProtocol)),
                FailureReason::NoCommonAlpn.into(),
            ),
            (wrapped(TlsError::AlertReceived(Alert::ProtocolVersion)), FailureReason::NoCommonTls.into()),
            (
                wrapped(TlsError::AlertReceived(Alert::UnrecognisedName)),
                FailureReason::UnknownServerName.into(),
            ),
            (wrapped(TlsError::AlertReceived(Alert::InternalError)), FailureReason::TlsAlert(80).into()),
            (wrapped(TlsError::AlertReceived(Alert::CertificateRequired)), Trouble::ClientCertificate),
            (wrapped(TlsError::DecryptError), FailureReason::Tls.into()),
        ];
        for (error, expected) in table {
            assert_eq!(Trouble::of(&error), expected, "{error}");
        }
    }
}
