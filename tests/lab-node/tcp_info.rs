//! What the kernel knows of a connection: `TCP_INFO`, as in `linux/tcp.h`.

use std::{io, os::fd::AsRawFd};

use tokio::net::TcpStream;

/// `tcpi_total_retrans` stands behind eight bytes and 23 words.
const TOTAL_RETRANS: usize = 8 + 23 * 4;

/// How many segments were sent again: right after the connect, SYNs.
pub(crate) fn retransmitted(stream: &TcpStream) -> io::Result<u32> {
    let mut info = [0_u8; TOTAL_RETRANS + 4];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `stream` is, and the kernel writes at most `length` bytes.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut word = [0; 4];
    word.copy_from_slice(&info[TOTAL_RETRANS..]);
    Ok(u32::from_ne_bytes(word))
}
