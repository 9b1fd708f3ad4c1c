//! What a probe shows to be let in: a client certificate with its key, or a token, and never a half of it.

use toml::Spanned;

use super::Reader;
use crate::config::error::{ConfigError, Problem};
use crate::config::place::Located;
use crate::config::probe::Credential;

/// The keys of a credential, as they are called where they stand.
pub(super) struct CredentialKeys {
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
    pub(super) token: &'static str,
    pub(super) ca: &'static str,
}

/// In `[probe]`.
pub(super) const GLOBAL: CredentialKeys = CredentialKeys {
    certificate: "client_certificate_file",
    key: "client_key_file",
    token: "token_file",
    ca: "ca_file",
};
/// In `[[services]]`.
pub(super) const OWN: CredentialKeys = CredentialKeys {
    certificate: "probe_client_certificate_file",
    key: "probe_client_key_file",
    token: "probe_token_file",
    ca: "probe_ca_file",
};

impl Reader<'_> {
    /// A client certificate or a token, whole, with the place of its first key.
    pub(super) fn credential(
        &self,
        keys: &CredentialKeys,
        certificate: Option<Spanned<String>>,
        key: Option<Spanned<String>>,
        token: Option<Spanned<String>>,
        has_ca: bool,
    ) -> Result<Option<Located<Credential>>, ConfigError> {
        let certificate = self.located_path(keys.certificate, certificate)?;
        let key = self.located_path(keys.key, key)?;
        let token = self.located_path(keys.token, token)?;
        let (credential, place) = match (certificate, key, token) {
            (None, None, None) => return Ok(None),
            (None, None, Some(token)) => {
                if !has_ca {
                    return Err(Problem::TokenWithoutCa { token: keys.token, ca: keys.ca }.of(&token));
                }
                let place = token.place.clone();
                (Credential::Token(token), place)
            }
            (Some(certificate), Some(key), None) => {
                let place = certificate.place.clone();
                (Credential::ClientCertificate { certificate, key }, place)
            }
            (Some(given), None, None) => {
                return Err(Problem::HalfCredential { given: keys.certificate, lacks: keys.key }.of(&given));
            }
            (None, Some(given), None) => {
                return Err(Problem::HalfCredential { given: keys.key, lacks: keys.certificate }.of(&given));
            }
            (_, _, Some(token)) => {
                let problem = Problem::TwoCredentials { token: keys.token, certificate: keys.certificate };
                return Err(problem.of(&token));
            }
        };
        Ok(Some(Located::new(credential, place)))
    }
}
