//! `lab-node tunnel`: the balancer's side of DSR by hand. What comes for an address that this host does not have is put into
//! a tunnel to another host, frame by frame.

use std::{
    ffi::CString,
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result, bail, ensure};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The interface by which packets come and tunnels go.
    #[arg(long)]
    interface: String,
    /// Whose packets are taken: an address that this host does not have.
    #[arg(long)]
    vip: IpAddr,
    /// The outer source.
    #[arg(long)]
    from: IpAddr,
    /// The outer destination.
    #[arg(long)]
    to: IpAddr,
    /// The outer destination's link-layer address.
    #[arg(long, value_parser = mac)]
    to_mac: [u8; 6],
    /// The UDP port of GUE; IPIP when it is left out.
    #[arg(long)]
    gue_port: Option<u16>,
}

fn mac(text: &str) -> Result<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("a link-layer address has six bytes")
}

/// Works until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let ethertype = if arguments.vip.is_ipv4() { IPV4 } else { IPV6 };
    let socket = packet_socket(&arguments.interface, ethertype)?;
    println!("ready");
    let mut buffer = vec![0; 1 << 16];
    loop {
        // SAFETY: the buffer outlives the call.
        let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let Some(packet) = packet_to(arguments.vip, &buffer[..length]) else { continue };
        let frame = tunnel(arguments, &buffer[..6], packet)?;
        // SAFETY: the frame outlives the call.
        let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        ensure!(sent >= 0, "a frame of {} bytes cannot be sent: {}", frame.len(), io::Error::last_os_error());
    }
}

/// A socket that receives frames of one kind and sends any, by one interface.
fn packet_socket(interface: &str, ethertype: u16) -> Result<OwnedFd> {
    let protocol = ethertype.to_be();
    // SAFETY: no pointers are passed.
    let socket =
        unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.into()) };
    ensure!(socket >= 0, "a packet socket cannot be made: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let name = CString::new(interface)?;
    // SAFETY: plain integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol;
    // SAFETY: the name is a valid C string.
    address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) }.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is as long as is said, and outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    ensure!(bound == 0, "a socket cannot be bound to {interface}: {}", io::Error::last_os_error());
    Ok(socket)
}

/// The IP packet of a frame without its padding, if it is to this address.
fn packet_to(vip: IpAddr, frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(ETHERNET..)?;
    let field = |at: usize| Some(usize::from(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?)));
    let (destination, length) = match vip {
        IpAddr::V4(_) => {
            let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            (IpAddr::from(bytes), field(2)?)
        }
        IpAddr::V6(_) => {
            let bytes: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (IpAddr::from(bytes), 40 + field(4)?)
        }
    };
    if destination == vip { packet.get(..length) } else { None }
}

/// The frame that carries a packet to the other host. `own_mac` is whom the packet was sent to on the link.
fn tunnel(arguments: &Arguments, own_mac: &[u8], packet: &[u8]) -> Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(packet.len() + 8);
    let mut protocol = if arguments.vip.is_ipv4() { 4 } else { 41 };
    if let Some(port) = arguments.gue_port {
        protocol = UDP;
        payload.extend(0xc001_u16.to_be_bytes());
        payload.extend(port.to_be_bytes());
        payload.extend(u16::try_from(8 + packet.len())?.to_be_bytes());
        payload.extend([0, 0]);
    }
    payload.extend(packet);
    let mut frame = [&arguments.to_mac, own_mac].concat();
    match (arguments.from, arguments.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend(IPV4.to_be_bytes());
            frame.extend(ipv4_header(from, to, protocol, payload.len())?);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend(IPV6.to_be_bytes());
            frame.extend(ipv6_header(from, to, protocol, payload.len())?);
        }
        (from, to) => bail!("{from} and {to} are of two families"),
    }
    frame.extend(payload);
    Ok(frame)
}

fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: usize) -> Result<[u8; 20]> {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&u16::try_from(20 + payload)?.to_be_bytes());
    // Not to be fragmented.
    header[6] = 0x40;
    header[8] = 64;
    header[9] = protocol;
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    Ok(header)
}

fn ipv6_header(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: usize) -> Result<[u8; 40]> {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&u16::try_from(payload)?.to_be_bytes());
    header[6] = protocol;
    header[7] = 64;
    header[8..24].copy_from_slice(&from.octets());
    header[24..40].copy_from_slice(&to.octets());
    Ok(header)
}
