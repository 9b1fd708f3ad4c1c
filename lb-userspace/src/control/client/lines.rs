//! Long answers, line by line: only what has come and is not yet asked for lies in memory.

use std::marker::PhantomData;
use std::path::PathBuf;

use axum::http::StatusCode;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::exchange::{Driver, Exchange};
use super::{ClientError, MAX_ANSWER_BYTES};
use crate::control::types::ApiError;

/// A long answer as it comes; dropping it hangs up.
#[derive(Debug)]
pub struct Lines<T> {
    socket: PathBuf,
    body: hyper::body::Incoming,
    rest: Vec<u8>,
    failed: Option<ClientError>,
    _driver: Driver,
    item: PhantomData<fn() -> T>,
}

impl<T> Lines<T> {
    pub(super) fn new(socket: PathBuf, exchange: Exchange) -> Self {
        Self {
            socket,
            body: exchange.body,
            rest: Vec::new(),
            failed: None,
            _driver: exchange.driver,
            item: PhantomData,
        }
    }

    fn broken(&self, reason: &dyn ToString) -> ClientError {
        ClientError::broken(&self.socket, reason)
    }
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next items, as many as came together; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the answer broke off, or the agent says that it cannot go on. What came before is good.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            match self.body.frame().await {
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(self.broken(&"the last line is not whole")),
                Some(Err(error)) => return Err(self.broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.rest.extend_from_slice(&bytes);
                    }
                }
            }
            let items = self.whole_lines();
            if !items.is_empty() {
                return Ok(Some(items));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.rest.len() > MAX_ANSWER_BYTES {
                return Err(self.broken(&"a line without an end"));
            }
        }
    }

    /// Everything, for callers that want it at once.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn all(mut self) -> Result<Vec<T>, ClientError> {
        let mut all = Vec::new();
        while let Some(items) = self.next().await? {
            all.extend(items);
        }
        Ok(all)
    }

    /// Takes the whole lines out of what has come; one that is not an item is the last, and kept as the error.
    fn whole_lines(&mut self) -> Vec<T> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut items = Vec::new();
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(item) => items.push(item),
                Err(error) => {
                    self.failed = Some(match serde_json::from_slice::<ApiError>(line) {
                        Ok(said) => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, said.error).into(),
                        Err(_) => self.broken(&error),
                    });
                    break;
                }
            }
        }
        items
    }
}
