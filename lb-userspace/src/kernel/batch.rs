//! A walk over a flow table in slices, each of which holds no lock for longer than a bucket.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use lb_common::abi::{Address, AddressV4, AddressV6, Flow, FlowKey, HalfOpen};

use super::{collect::Tier, syscall};

/// Elements asked for at a time. At some 250 ns each, a slice is about half a millisecond.
const SLICE: usize = 2048;

/// The four pinned flow tables, for walks and single look-ups.
#[derive(Debug)]
pub struct FlowTables {
    flows_v4: OwnedFd,
    flows_v6: OwnedFd,
    half_open_v4: OwnedFd,
    half_open_v6: OwnedFd,
}

/// The family of a walk.
pub trait WalkFamily: Address {
    /// The table of a tier.
    fn table(tables: &FlowTables, tier: Tier) -> BorrowedFd<'_>;
}

impl WalkFamily for AddressV4 {
    fn table(tables: &FlowTables, tier: Tier) -> BorrowedFd<'_> {
        match tier {
            Tier::Flows => tables.flows_v4.as_fd(),
            Tier::HalfOpen => tables.half_open_v4.as_fd(),
        }
    }
}

impl WalkFamily for AddressV6 {
    fn table(tables: &FlowTables, tier: Tier) -> BorrowedFd<'_> {
        match tier {
            Tier::Flows => tables.flows_v6.as_fd(),
            Tier::HalfOpen => tables.half_open_v6.as_fd(),
        }
    }
}

impl FlowTables {
    /// Opens the tables of a pin directory.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let open = |name| syscall::open_pinned(&directory.join(name));
        Ok(Self {
            flows_v4: open("FLOWS_V4")?,
            flows_v6: open("FLOWS_V6")?,
            half_open_v4: open("HALF_OPEN_V4")?,
            half_open_v6: open("HALF_OPEN_V6")?,
        })
    }

    /// A copy of one entry, where it is there.
    pub fn get<A: WalkFamily>(&self, tier: Tier, key: &FlowKey<A>) -> Option<Flow<A>> {
        let mut value = vec![0; value_size::<A>(tier)];
        syscall::lookup(A::table(self, tier), bytes_of(key), &mut value).ok()?;
        // SAFETY: the buffer is at least as long as the type, which is valid for every bit pattern.
        Some(unsafe { value.as_ptr().cast::<Flow<A>>().read_unaligned() })
    }
}

/// Bytes of a value; the flow comes first in either tier.
const fn value_size<A: Address>(tier: Tier) -> usize {
    match tier {
        Tier::Flows => size_of::<Flow<A>>(),
        Tier::HalfOpen => size_of::<HalfOpen<A>>(),
    }
}

/// The bytes of a type of the ABI.
pub(super) fn bytes_of<T: aya::Pod>(value: &T) -> &[u8] {
    // SAFETY: plain data without padding, which lives as long as the reference.
    unsafe { std::slice::from_raw_parts((&raw const *value).cast::<u8>(), size_of::<T>()) }
}

/// A walk over one table.
pub struct Walk<'a, A> {
    map: BorrowedFd<'a>,
    value_size: usize,
    position: Option<u32>,
    ended: bool,
    keys: Vec<u8>,
    values: Vec<u8>,
    capacity: usize,
    address: PhantomData<A>,
}

impl<'a, A: WalkFamily> Walk<'a, A> {
    /// A walk from the first bucket on.
    pub fn new(tables: &'a FlowTables, tier: Tier) -> Self {
        let mut walk = Self {
            map: A::table(tables, tier),
            value_size: value_size::<A>(tier),
            position: None,
            ended: false,
            keys: Vec::new(),
            values: Vec::new(),
            capacity: 0,
            address: PhantomData,
        };
        walk.make_room(SLICE);
        walk
    }

    fn make_room(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.keys.resize(capacity * size_of::<FlowKey<A>>(), 0);
        self.values.resize(capacity * self.value_size, 0);
    }

    /// Whether the next slice is the end.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// The next entries, as copies; `None` at the end. An entry that is inserted or deleted meanwhile may be missed.
    pub fn next_slice(&mut self) -> io::Result<Option<impl Iterator<Item = (FlowKey<A>, Flow<A>)> + '_>> {
        if self.ended {
            return Ok(None);
        }
        let count = loop {
            match syscall::lookup_batch(
                self.map,
                self.position,
                &mut self.keys,
                &mut self.values,
                self.capacity,
            ) {
                Ok(batch) => {
                    self.position = batch.next;
                    self.ended = batch.next.is_none();
                    break batch.count;
                }
                // One bucket alone is larger than the slice.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => self.make_room(self.capacity * 2),
                Err(error) => return Err(error),
            }
        };
        let keys = self.keys.chunks_exact(size_of::<FlowKey<A>>());
        let values = self.values.chunks_exact(self.value_size);
        Ok(Some(keys.zip(values).take(count).map(|(key, value)| {
            // SAFETY: the chunks are at least as long as the types, which are valid for every bit pattern.
            unsafe {
                (
                    key.as_ptr().cast::<FlowKey<A>>().read_unaligned(),
                    value.as_ptr().cast::<Flow<A>>().read_unaligned(),
                )
            }
        })))
    }
}
