//! As much of HTTP/1.1 (RFC 9112) as a laboratory needs: heads, `content-length`, keep-alive.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A head longer than this is an error.
const MAX_HEAD: usize = 8192;

/// The first line and the headers of a message, names in lower case.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path of a request.
    pub(crate) fn target(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap_or("/")
    }

    /// The status of an answer; zero when it has none.
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn content_length(&self) -> u64 {
        self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads heads from a stream and keeps what came after one for the next read.
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::with_capacity(1024) }
    }

    /// The next head; `None` when the peer closed before one began.
    pub(crate) async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Ok(Some(parse(&String::from_utf8_lossy(&head))));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is too long"));
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                let clean = self.buffer.is_empty();
                return if clean { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Some bytes of the body, at most so many; none when the peer closed.
    pub(crate) async fn body(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        most: u64,
    ) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            stream.read_buf(&mut self.buffer).await?;
        }
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.drain(..count).collect())
    }

    /// The next line, without its end; `None` when the peer closed in order.
    pub(crate) async fn line(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

fn parse(text: &str) -> Head {
    let mut lines = text.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    Head { first_line, headers }
}

/// A value in the query of a request's target.
pub(crate) fn query<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let head = parse("GET /stream?seconds=3&x=y HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n");
        assert_eq!(head.target(), "/stream?seconds=3&x=y");
        assert_eq!(query(head.target(), "seconds"), Some("3"));
        assert_eq!(query(head.target(), "sec"), None);
        assert!(head.closes(), "the case of a value does not count");
    }

    #[tokio::test]
    async fn what_follows_a_head_is_kept() {
        let mut reader = Reader::new();
        let mut stream = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" as &[u8];
        let head = reader.head(&mut stream).await.expect("the head is whole").expect("there is one");
        assert_eq!((head.status(), head.content_length()), (200, 5));
        assert_eq!(reader.body(&mut stream, 5).await.expect("the body is there"), b"hello");
    }

    #[tokio::test]
    async fn lines_are_read_to_the_end() {
        let (mut reader, mut stream) = (Reader::new(), b"c1 0\nc1 1\n" as &[u8]);
        for wanted in [Some("c1 0"), Some("c1 1"), None] {
            let line = reader.line(&mut stream).await.expect("nothing fails");
            assert_eq!(line.as_deref(), wanted);
        }
    }
}
