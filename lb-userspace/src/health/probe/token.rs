//! When a bearer token ends: the one thing about it that is looked at here. Whether it is good is the server's to say.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::health::outcome::{CredentialEnd, CredentialKind};

/// The end of a token that is a JWT and says so (`exp`; RFC 7519, section 4.1.4). Any other token has none.
pub fn end(token: &[u8]) -> Option<CredentialEnd> {
    let claims = claims(token)?;
    let moment = |claim: &str| date(claims.get(claim)?.as_f64()?);
    let at = moment("exp")?;
    let lifetime = moment("iat").and_then(|issued| at.duration_since(issued).ok());
    Some(CredentialEnd { kind: CredentialKind::Token, at, lifetime })
}

/// What a JWT in its compact form says (RFC 7515, section 7.1): header, claims and signature, each in base64url.
fn claims(token: &[u8]) -> Option<Map<String, Value>> {
    let mut parts = token.split(|byte| *byte == b'.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let (_header, claims, _signature) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() { None } else { serde_json::from_slice(&claims).ok() }
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction. One from before has passed, and that is all there is to
/// know.
fn date(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds.max(0.0)).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_a_token_says_of_its_end_is_read() {
        let hour = Some(Duration::from_secs(3600));
        let table = [
            (jwt(r#"{"exp":1700003600,"iat":1700000000,"sub":"a"}"#), Some((at(1_700_003_600), hour))),
            (jwt(r#"{"exp":1700003600}"#), Some((at(1_700_003_600), None))),
            (jwt(r#"{"exp":1700003600,"iat":1700003601}"#), Some((at(1_700_003_600), None))),
            (jwt(r#"{"exp":1700003600,"iat":"then"}"#), Some((at(1_700_003_600), None))),
            (jwt(r#"{"exp":1700003600.0}"#), Some((at(1_700_003_600), None))),
            (jwt(r#"{"exp":-5}"#), Some((at(0), None))),
            (jwt(r#"{"exp":1e30}"#), None),
            (jwt(r#"{"exp":"1700003600"}"#), None),
            (jwt(r#"{"iat":1700000000}"#), None),
            (jwt("[1700003600]"), None),
            (jwt(r#"{"exp":1700003600}"#) + ".a", None),
            (jwt(r#"{"exp":1700003600}"#).replace('.', ""), None),
            ("07401b.f395accd246ae52d".into(), None),
            ("a.b.c".into(), None),
            ("..".into(), None),
        ];
        for (token, expected) in table {
            let end = end(token.as_bytes());
            assert_eq!(end.map(|end| (end.at, end.lifetime)), expected, "{token}");
        }
    }

    proptest! {
        #[test]
        fn noise_has_no_end_and_does_no_harm(claims in any::<String>(), noise in any::<Vec<u8>>()) {
            prop_assert_eq!(end(&noise), None);
            end(jwt(&claims).as_bytes());
        }
    }
}
