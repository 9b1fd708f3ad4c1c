//! Requests taken apart: every failure is an [`ApiError`], whatever was sent.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::types::ApiError;

/// The longest request is a backend with a name; 64 KiB is a thousand times that.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;
/// A body comes from the same machine.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The JSON body of a request.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let bytes = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY_BYTES))
            .await
            .map_err(|_| {
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request's body did not come: send it whole")
            })?
            .map_err(|_| {
                ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!(
                        "the request's body broke off or is longer than {MAX_BODY_BYTES} bytes: send less"
                    ),
                )
            })?;
        // Where every field has a default, nothing at all is an answer too.
        let json: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(json).map(Self).map_err(|error| {
            ApiError::invalid(format!(
                "the request's body does not fit ({error}): docs/api.md has an example"
            ))
        })
    }
}

/// The query of a request's path.
pub(super) struct Filter<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Filter<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri).map(|Query(filter)| Self(filter)).map_err(|error| {
            ApiError::invalid(format!(
                "the filter does not fit ({}): docs/api.md has them all",
                cause(&error)
            ))
        })
    }
}

/// The innermost cause: the outer ones only say that a query string was not parsed.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
