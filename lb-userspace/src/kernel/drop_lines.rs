//! What the program tells of the packets that it drops, as lines for people.

use std::{
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use lb_common::counters;
use log::{Log, Metadata, Record};

use super::Error;

/// The lines, as they come out of the ring.
pub struct DropLines<W>(EbpfLogger<Writer<W>>);

impl<W: Fn(&str) + Send + Sync> DropLines<W> {
    pub(super) fn new(ebpf: &mut Ebpf, write: W) -> Result<Self, Error> {
        let logger = EbpfLogger::init_with_logger(ebpf, Writer(write));
        logger.map(Self).map_err(|error| Error::Map { name: "AYA_LOGS", reason: error.to_string() })
    }

    /// Writes all that is there.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

impl<W> AsRawFd for DropLines<W> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Takes records that the program has put together.
struct Writer<W>(W);

impl<W: Fn(&str) + Send + Sync> Log for Writer<W> {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.0)(&line(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// A line of the program, which has the number of the reason, source and destination, as people read it.
fn line(told: &str) -> String {
    let words: Vec<&str> = told.split(' ').collect();
    let [reason, source, source_port, destination, destination_port] = words[..] else {
        return format!("dropped: {told}");
    };
    let reason = reason.parse().ok().and_then(|number: usize| counters::ALL.get(number));
    match (reason, end(source, source_port), end(destination, destination_port)) {
        (Some(reason), Some(source), Some(destination)) => {
            format!("dropped ({}): {source} to {destination}", reason.name())
        }
        _ => format!("dropped: {told}"),
    }
}

/// One end of a connection.
fn end(address: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_by_its_name() {
        let number = counters::Counter::DropOrphanReply as u32;
        assert_eq!(
            line(&format!("{number} 2001:db8::1 6443 2001:db8::2 10001")),
            "dropped (drop_orphan_reply): [2001:db8::1]:6443 to [2001:db8::2]:10001"
        );
        assert_eq!(
            line(&format!("{number} 192.0.2.1 6443 192.0.2.2 10001")),
            "dropped (drop_orphan_reply): 192.0.2.1:6443 to 192.0.2.2:10001"
        );
        for unknown in ["4711 192.0.2.1 1 192.0.2.2 2", "4 a b c d", "4 a b", ""] {
            assert_eq!(line(unknown), format!("dropped: {unknown}"), "what this version does not know");
        }
    }
}
