//! A walk over a flow table in slices, each of which holds no lock for longer than a bucket.

use std::{io, marker::PhantomData, os::fd::AsFd};

use lb_common::abi::{Address, Flow, FlowKey};

use super::syscall;

/// Elements asked for at a time. At some 250 ns each, a slice is about half a millisecond.
const SLICE: usize = 2048;

/// A walk over one table.
pub struct Walk<'a, A, M> {
    map: &'a M,
    position: Option<u32>,
    ended: bool,
    keys: Vec<u8>,
    values: Vec<u8>,
    capacity: usize,
    address: PhantomData<A>,
}

impl<'a, A: Address, M: AsFd> Walk<'a, A, M> {
    /// A walk from the first bucket on.
    pub fn new(map: &'a M) -> Self {
        let mut walk = Self {
            map,
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
        self.values.resize(capacity * size_of::<Flow<A>>(), 0);
    }

    /// The next entries, as copies; `None` at the end. An entry that is inserted or deleted meanwhile may be missed.
    pub fn next_slice(&mut self) -> io::Result<Option<impl Iterator<Item = (FlowKey<A>, Flow<A>)> + '_>> {
        if self.ended {
            return Ok(None);
        }
        let count = loop {
            match syscall::lookup_batch(
                self.map.as_fd(),
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
        let values = self.values.chunks_exact(size_of::<Flow<A>>());
        Ok(Some(keys.zip(values).take(count).map(|(key, value)| {
            // SAFETY: the chunks are as long as the types, which are valid for every bit pattern.
            unsafe {
                (
                    key.as_ptr().cast::<FlowKey<A>>().read_unaligned(),
                    value.as_ptr().cast::<Flow<A>>().read_unaligned(),
                )
            }
        })))
    }
}
