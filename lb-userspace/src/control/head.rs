//! The first bytes of a connection, read and judged before they reach the HTTP library.
//!
//! The library answers what is not HTTP with an empty 400. A person with `nc` deserves the sentence that every
//! other refusal has, and a client that sends half a request must not hold a connection for ever.

use std::io;

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::types::ApiError;

/// Room for a request line with a long filter and the headers of curl or a browser.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// What can be said of the bytes read so far.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// The head has not ended yet.
    More,
    /// It is the head of a request.
    Whole,
    /// It never will be.
    Refused(ApiError),
}

/// Reads until the request's head is whole, and returns all that was read; `None` when the client hung up.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
) -> io::Result<Option<Result<Vec<u8>, ApiError>>> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match judge(&bytes) {
            Judgement::Whole => return Ok(Some(Ok(bytes))),
            Judgement::Refused(error) => return Ok(Some(Err(error))),
            Judgement::More if bytes.len() >= MAX_HEAD_BYTES => return Ok(Some(Err(too_long()))),
            Judgement::More => {}
        }
        let room = MAX_HEAD_BYTES - bytes.len();
        if (&mut *reader).take(room as u64).read_buf(&mut bytes).await? == 0 {
            return Ok((!bytes.is_empty()).then(|| Err(not_http())));
        }
    }
}

fn judge(bytes: &[u8]) -> Judgement {
    let Some(line_end) = find(bytes, b"\r\n") else {
        // What does not even begin like a method need not be waited for.
        let method = bytes.iter().take_while(|byte| **byte != b' ');
        return if method.clone().count() > 16 || !method.copied().all(|byte| byte.is_ascii_uppercase()) {
            Judgement::Refused(not_http())
        } else {
            Judgement::More
        };
    };
    if !is_request_line(&bytes[..line_end]) {
        return Judgement::Refused(not_http());
    }
    let Some(head_end) = find(bytes, b"\r\n\r\n") else {
        return Judgement::More;
    };
    // Without headers the line's own end is half of the blank line.
    let headers = bytes.get(line_end + 2..head_end).unwrap_or_default();
    if headers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(is_header) {
        Judgement::Whole
    } else {
        Judgement::Refused(not_http())
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let version = words.next().unwrap_or_default();
    !method.is_empty()
        && method.iter().all(u8::is_ascii_uppercase)
        && target.first() == Some(&b'/')
        && target.iter().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(byte))
        && (version == b"HTTP/1.1" || version == b"HTTP/1.0")
        && words.next().is_none()
}

fn is_header(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") && !value.iter().all(u8::is_ascii_digit) {
        return false;
    }
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        && value.iter().all(|byte| *byte == b'\t' || (!byte.is_ascii_control()))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn not_http() -> ApiError {
    ApiError::invalid("this is not an HTTP/1.1 request: use the xdplb command, or curl --unix-socket")
}

fn too_long() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        format!("the request's head is longer than {MAX_HEAD_BYTES} bytes: send fewer headers"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_of_real_clients_pass() {
        for head in [
            "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
            "GET /v1/flows?client=10.0.0.1&snat=%5B%3A%3A1%5D%3A1 HTTP/1.0\r\n\r\n",
            "POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\nbody",
        ] {
            assert_eq!(judge(head.as_bytes()), Judgement::Whole, "must pass: {head:?}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_told_at_once() {
        for head in [
            "status\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
            "GET v1/status HTTP/1.1\r\n",
            "GET /v1/status HTTP/2.0\r\n",
            "GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n",
            "POST /v1/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GETGETGETGETGETGETGET",
        ] {
            assert_eq!(judge(head.as_bytes()), Judgement::Refused(not_http()), "must be refused: {head:?}");
        }
        assert_eq!(judge(b"GET /v1/st"), Judgement::More, "half a request line is waited for");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = judge(&bytes);
        }
    }
}
