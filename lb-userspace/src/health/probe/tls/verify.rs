//! Which certificates are accepted: in the handshake every one, afterwards those that the CA file vouches for.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::health::failure::FailureReason;
use crate::health::probe::materials::PROVIDER;

/// Verifies that the server has the key of its certificate, and of the certificate nothing: see [`super`] for why that
/// comes after the handshake.
#[derive(Debug)]
pub(in crate::health::probe) struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the authorities vouch for the chain, for this name and moment.
pub(super) fn verify(
    authorities: &WebPkiServerVerifier,
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), FailureReason> {
    let Some((end_entity, intermediates)) = chain.split_first() else {
        return Err(FailureReason::Certificate);
    };
    match authorities.verify_server_cert(end_entity, intermediates, name, &[], now) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(reason(&error)),
        Err(_) => Err(FailureReason::Certificate),
    }
}

/// Names what is wrong with a certificate.
fn reason(error: &CertificateError) -> FailureReason {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => FailureReason::CertificateEnded,
        E::NotValidYet | E::NotValidYetContext { .. } => FailureReason::CertificateNotYetValid,
        E::NotValidForName | E::NotValidForNameContext { .. } => FailureReason::CertificateName,
        // Another authority of the same name has another key.
        E::UnknownIssuer | E::BadSignature => FailureReason::CertificateIssuer,
        _ => FailureReason::Certificate,
    }
}
