//! Does something listen there? A connection that the listener's process never sees.
//!
//! ```text
//!   probe                         backend's kernel          backend's process
//!     │ SYN ──────────────────────────►│
//!     │◄────────────────────── SYN-ACK │   (something listens and has room)
//!     │ RST ──────────────────────────►│   nothing was accepted, nothing is logged
//! ```
//!
//! **Why not a plain connect and close.** A TLS server reads EOF (after a FIN) or "connection reset" (after a RST)
//! from every such connection and logs a failed handshake: kube-apiserver, konnectivity and k0s's API all do. So
//! the ACK that would complete the connection is held back (`TCP_QUICKACK` off before the connect makes Linux delay
//! it, by up to 200 ms) and the close comes before it, as RST (`SO_LINGER` 0). The listener drops the
//! embryonic connection without a word, and no side keeps TIME-WAIT. A probing host that is too slow for the 200 ms
//! costs the server one log line, no more.
//!
//! **What it shows**: the port is open and the accept queue has room (Linux drops the SYN of a full one, and the probe
//! times out). What it cannot show is that the process works: that is for the TLS and HTTPS probes.

use std::io;

use socket2::Socket;

use super::{Asker, socket};
use crate::health::failure::FailureReason;
use crate::health::outcome::Outcome;

/// Connects and resets; the caller sets the time limit.
pub(super) async fn ask(asker: &Asker) -> Outcome {
    let socket = match prepare(asker) {
        Ok(socket) => socket,
        Err(error) => return Outcome::Failed(FailureReason::from_immediate_error(&error)),
    };
    match socket::connect(socket, asker.to).await {
        Ok(_reset_on_drop) => Outcome::Up,
        Err(reason) => Outcome::Failed(reason),
    }
}

fn prepare(asker: &Asker) -> io::Result<Socket> {
    let socket = socket::prepare(asker)?;
    socket.set_tcp_quickack(false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use crate::health::failure::FailureReason;
    use crate::health::outcome::Outcome;
    use crate::health::probe::{Asker, ProbeKind};

    fn asker(to: SocketAddr) -> Asker {
        Asker::new(to, ProbeKind::Tcp, Duration::from_millis(200))
    }

    async fn ask(to: SocketAddr) -> Outcome {
        asker(to).ask().await.outcome
    }

    #[tokio::test]
    async fn a_listener_is_up_and_never_sees_the_probe() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        for _ in 0..20 {
            assert_eq!(ask(address).await, Outcome::Up);
        }
        let accepted = listener.accept().expect_err("no probe may reach the process");
        assert_eq!(accepted.kind(), ErrorKind::WouldBlock, "no probe may reach the process");
    }

    #[tokio::test]
    async fn a_source_address_is_used_or_its_lack_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let from = |from: Ipv4Addr| asker(address).leaving(Some(IpAddr::from(from)), None);
        assert_eq!(from(Ipv4Addr::new(127, 0, 0, 9)).ask().await.outcome, Outcome::Up);
        let elsewhere = from(Ipv4Addr::new(192, 0, 2, 1)).ask().await.outcome;
        assert_eq!(elsewhere, Outcome::Failed(FailureReason::NoLocalAddress));
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        drop(listener);
        assert_eq!(ask(address).await, Outcome::Failed(FailureReason::Refused));
    }

    /// A listener that answers no SYN any more, because its accept queue is full.
    fn full() -> (socket2::Socket, TcpStream, SocketAddr) {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket can be made");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback must have a free port");
        listener.listen(0).expect("a bound socket can listen");
        let address = listener.local_addr().ok().and_then(|a| a.as_socket()).expect("it has an address");
        let fills_the_queue = TcpStream::connect(address).expect("the queue has room for one");
        (listener, fills_the_queue, address)
    }

    #[tokio::test]
    async fn a_full_accept_queue_is_a_timeout() {
        let (_listener, _connection, address) = full();
        assert_eq!(ask(address).await, Outcome::Failed(FailureReason::Timeout));
    }

    #[tokio::test]
    async fn knocks_are_answered_refused_or_met_with_silence() {
        let knock = async |to| asker(to).knock(Duration::from_millis(25)).await.outcome;
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        assert_eq!(knock(address).await, Outcome::Up);
        drop(listener);
        assert_eq!(knock(address).await, Outcome::Failed(FailureReason::Refused));

        let (_listener, _connection, address) = full();
        let silence = knock(address).await;
        // A test machine may be too busy to tell.
        let told = [FailureReason::Timeout, FailureReason::Late].map(Outcome::Failed);
        assert!(told.contains(&silence), "nobody answered, but it was told: {silence:?}");
    }
}
