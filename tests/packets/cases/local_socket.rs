//! Connections that the host itself still serves: a proxy that is being replaced.

use std::net::{SocketAddr, TcpListener, TcpStream};

use lb_common::{
    counters::Counter::{DropUnknownReset, FlowAdopted, FlowOpened, Forwarded, PassedLocalSocket},
    tcp::State::Established,
};
use socket2::{Domain, Socket, Type};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, RST, SYN},
    },
    rig::{
        Conversation, Rig, Row, SMALL, Tier, ip,
        setting::{FAMILIES, FIRST, Family, Service},
        with,
    },
};

/// The host that is both client and proxy here.
const LOCAL_HOST: u8 = 250;

/// A connection to the service from an address of the host's own.
fn connect(family: Family, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket can be made");
    let from = SocketAddr::new(family.client(LOCAL_HOST), 0);
    socket.bind(&from.into()).expect("the address is the host's");
    socket.connect(&to.into()).expect("the proxy listens");
    socket.into()
}

fn proxy(rig: &mut Rig, family: Family) {
    let service = family.service(Service::Api);
    let listener = TcpListener::bind(service).expect("the VIP is the host's");
    let client = connect(family, service);
    let (_served, from) = listener.accept().expect("the client has connected");
    assert_eq!(client.local_addr().ok(), Some(from), "the proxy's client");
    let mut talk = Conversation::of(from, family, Service::Api, FIRST);
    rig.ingress = 0;
    for flags in [ACK, FIN | ACK, RST, RST | ACK, SYN | ACK] {
        let packet = talk.client_says(flags, b"");
        let row = Row { moved: &[PassedLocalSocket], ..Row::passed("a packet of the proxy's", &packet) };
        rig.check(&row);
    }
    rig.expect_nothing(&talk);
    let mut other = Conversation::new(family, Service::Api, 63_000, FIRST);
    let data = other.client_says(ACK, b"data");
    rig.forwards(&other, "a listener alone serves nobody", &data, &[FlowAdopted, Forwarded]);
    rig.expect(&other, Tier::HalfOpen, Established, 0x12);
    let reset = Packet { source: SocketAddr::new(family.client(9), 9), ..other.client_says(RST, &[]) };
    rig.check(&Row::dropped("a RST of nobody's", &reset, &[DropUnknownReset]));
    let mut new = Conversation::new(family, Service::Api, 63_001, FIRST);
    let syn = new.client_says(SYN, &[]);
    rig.forwards(&new, "new connections are ours", &syn, &[FlowOpened, Forwarded]);
}

#[test]
fn the_hosts_own_connections_pass() {
    with("the_hosts_own_connections_pass", SMALL, |rig| {
        for family in FAMILIES {
            let rest = if family == Family::V4 { "/32 dev lo" } else { "/128 dev lo nodad" };
            ip(&[format!("addr add {}{rest}", family.client(LOCAL_HOST))]);
            proxy(rig, family);
        }
    });
}
