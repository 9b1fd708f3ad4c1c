//! The client's side of a watch: one request, and from then on only the server speaks.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    client::{Connection, Failure, in_a_word, server_of},
    stop::Stop,
};

/// Asks, and gives the name of who answers.
pub(crate) async fn begin(connection: &mut Connection, patience: Duration) -> Result<String, Failure> {
    let head = connection.get("/watch", false, patience).await?;
    Ok(server_of(&head))
}

/// Listens until the watch breaks, and tells how: `ended` when the server ended it in order. `None` when the end is asked
/// for and something has come after that, each line from the same server and none of them lost.
pub(crate) async fn follow(
    connection: &mut Connection,
    backend: &str,
    patience: Duration,
    stop: &Stop,
) -> Option<&'static str> {
    for number in 0_u64.. {
        let asked = *stop.borrow();
        let reading = connection.reader.line(&mut connection.stream);
        match timeout(patience, reading).await {
            Ok(Ok(Some(line))) if line == format!("{backend} {number}") => {}
            Ok(Ok(Some(_))) => return Some(in_a_word(&io::ErrorKind::InvalidData.into())),
            Ok(Ok(None)) => return Some("ended"),
            Ok(Err(error)) => return Some(in_a_word(&error)),
            Err(_) => return Some("timeout"),
        }
        if asked {
            break;
        }
    }
    None
}
