//! The few `bpf` commands that aya does not offer: batches, values too large for a stack, pinned objects by path, links
//! taken off at once, and a test run with nothing but a program's descriptor. Structures from `include/uapi/linux/bpf.h`.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr`, the members for elements.
#[repr(C)]
#[derive(Default)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_attr.batch`.
#[repr(C)]
#[derive(Default)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// `union bpf_attr`, the members for pinned objects.
#[repr(C)]
#[derive(Default)]
struct ObjectAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `union bpf_attr.test`.
#[repr(C)]
#[derive(Default)]
struct TestAttributes {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// # Safety
///
/// `attributes` is the structure that `command` wants, and its pointers are valid for what the command does.
unsafe fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for the attributes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The descriptor as the kernel's structures have it; descriptors are never negative.
fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// Copies the value of a key into `value`, which must be as long as the map's values.
///
/// # Errors
///
/// `NotFound` where the key is not there; else the kernel's.
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let mut attributes = ElementAttributes {
        map: number(map),
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        ..ElementAttributes::default()
    };
    // SAFETY: both slices outlive the call; the caller vouches for their lengths.
    unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes) }.map(drop)
}

/// Writes a value of any size, which must be as long as the map's values; a key that is not there is made (`BPF_ANY`).
pub fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attributes = ElementAttributes {
        map: number(map),
        key: key.as_ptr() as u64,
        value: value.as_ptr() as u64,
        flags: 0,
        ..ElementAttributes::default()
    };
    // SAFETY: both slices outlive the call; the caller vouches for their lengths.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
}

/// A part of a batch look-up.
pub struct Batch {
    /// How many elements were copied.
    pub count: usize,
    /// Where the next part begins; `None` at the end of the table.
    pub next: Option<u32>,
}

/// Copies the next elements of a hash table, beginning at the bucket `from`.
///
/// # Errors
///
/// `ENOSPC` where one bucket holds more than the buffers do; else the kernel's.
pub fn lookup_batch(
    map: BorrowedFd<'_>,
    from: Option<u32>,
    keys: &mut [u8],
    values: &mut [u8],
    capacity: usize,
) -> io::Result<Batch> {
    let start = from.unwrap_or(0);
    let mut next = 0u32;
    let mut attributes = BatchAttributes {
        in_batch: from.map_or(0, |_| &raw const start as u64),
        out_batch: &raw mut next as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(capacity).unwrap_or(u32::MAX),
        map: number(map),
        ..BatchAttributes::default()
    };
    // SAFETY: the buffers and the two positions outlive the call; the caller vouches for their lengths.
    match unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attributes) } {
        Ok(_) => Ok(Batch { count: attributes.count as usize, next: Some(next) }),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(Batch { count: attributes.count as usize, next: None })
        }
        Err(error) => Err(error),
    }
}

/// Opens a pinned object.
pub fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = ObjectAttributes { path: path.as_ptr() as u64, ..ObjectAttributes::default() };
    // SAFETY: the path outlives the call.
    let descriptor = unsafe { bpf(BPF_OBJ_GET, &mut attributes) }?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Takes a link's program off, at once. Without this the kernel does it a moment after the last descriptor and pin of
/// the link have gone.
pub fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    /// `union bpf_attr.link_detach`.
    #[repr(C)]
    struct LinkAttributes {
        link: u32,
    }
    let mut attributes = LinkAttributes { link: number(link) };
    // SAFETY: the attributes have no pointers.
    unsafe { bpf(BPF_LINK_DETACH, &mut attributes) }.map(drop)
}

/// Runs an XDP program once on a packet and returns its result; the packet that comes out is not asked for.
pub fn run_program(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<u32> {
    let mut attributes = TestAttributes {
        program: number(program),
        data_size_in: u32::try_from(packet.len()).map_err(io::Error::other)?,
        data_in: packet.as_ptr() as u64,
        repeat: 1,
        ..TestAttributes::default()
    };
    // SAFETY: the packet outlives the call.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }?;
    Ok(attributes.return_value)
}

/// Makes an array map with one element of this size, in bytes.
pub fn create_array(value_size: u32) -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: libc::c_int = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    /// `union bpf_attr`, the members for a new map.
    #[repr(C)]
    struct MapAttributes {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }
    let mut attributes =
        MapAttributes { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size, max_entries: 1, flags: 0 };
    // SAFETY: the attributes have no pointers.
    let descriptor = unsafe { bpf(BPF_MAP_CREATE, &mut attributes) }?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Pins an object.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    const BPF_OBJ_PIN: libc::c_int = 6;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = ObjectAttributes {
        path: path.as_ptr() as u64,
        descriptor: number(object),
        ..ObjectAttributes::default()
    };
    // SAFETY: the path outlives the call.
    unsafe { bpf(BPF_OBJ_PIN, &mut attributes) }.map(drop)
}
