//! When a certificate ends: the one thing about it that is looked at even where nothing else is verified.

use std::time::{Duration, SystemTime};

use x509_parser::prelude::{FromDer, X509Certificate};

/// The end of a certificate in DER, if it is one.
pub fn ends(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    // One from before 1970 has ended, and that is all there is to know.
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_is_read_whatever_its_spelling() {
        // UTCTime up to 2049, GeneralizedTime beyond (RFC 5280, section 4.1.2.5).
        for year in [1999, 2026, 2049, 2050, 9999] {
            let key = rcgen::KeyPair::generate().expect("a key can be made");
            let mut parameters = rcgen::CertificateParams::new(["a".to_owned()]).expect("a name");
            parameters.not_after = rcgen::date_time_ymd(year, 2, 3);
            let certificate = parameters.self_signed(&key).expect("a certificate can be made");
            let expected = u64::try_from(parameters.not_after.unix_timestamp()).expect("after 1970");
            assert_eq!(
                ends(certificate.der()),
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(expected)),
                "in {year}"
            );
        }
    }

    proptest! {
        #[test]
        fn noise_has_no_end_and_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert_eq!(ends(&noise), None);
        }
    }
}
