//! The connections of one shard, by number.
//!
//! A token is what the kernel hands back with an event: the slot in its low half, and how often the slot was used in its high half, so that an
//! event of a connection that is already closed is known as such.

use crate::connection::Connection;
use crate::driver::Output;
use crate::pipeline::Outputs;

/// Slots that are reused, never moved.
#[derive(Debug)]
pub struct Slab<L> {
    slots: Vec<(u32, Option<Connection<L>>)>,
    free: Vec<u32>,
}

impl<L> Default for Slab<L> {
    fn default() -> Self {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<L> Outputs for Slab<L> {
    fn output(&mut self, connection: u32) -> Option<&mut Output> {
        self.get(connection).map(|connection| &mut connection.output)
    }
}

impl<L> Slab<L> {
    /// Takes the connection in that `make` makes of its token; its slot.
    ///
    /// # Errors
    /// Those of `make`; nothing was taken in then.
    pub fn insert<E>(&mut self, make: impl FnOnce(u64) -> Result<Connection<L>, E>) -> Result<u32, E> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.0 = (slot.0 + 1) & 0x7FFF_FFFF; // tokens stay below those of listeners
        match make(u64::from(slot.0) << 32 | u64::from(index)) {
            Ok(connection) => {
                slot.1 = Some(connection);
                Ok(index)
            }
            Err(error) => {
                self.free.push(index);
                Err(error)
            }
        }
    }

    /// The connection in a slot.
    pub fn get(&mut self, index: u32) -> Option<&mut Connection<L>> {
        self.slots.get_mut(index as usize)?.1.as_mut()
    }

    /// The connection that a token was given for, if it is still there.
    pub fn get_if(&mut self, token: u64) -> Option<&mut Connection<L>> {
        let (used, connection) = self.slots.get_mut(token as u32 as usize)?;
        if u64::from(*used) == token >> 32 { connection.as_mut() } else { None }
    }

    /// Takes a connection out; the driver closes it.
    pub fn remove(&mut self, index: u32) -> Option<Connection<L>> {
        let connection = self.slots.get_mut(index as usize)?.1.take()?;
        self.free.push(index);
        Some(connection)
    }

    /// Connections.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots, used or free: the range to sweep over.
    pub fn slots(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slab: &mut Slab<u64>) -> (u32, u64) {
        let index = slab.insert(|token| Ok::<_, ()>(Connection::new(token, crate::edge::Protocol::Binary, 0))).unwrap();
        (index, slab.get(index).unwrap().link)
    }

    #[test]
    fn an_event_of_a_closed_connection_does_not_reach_the_next_one_in_its_slot() {
        let mut slab = Slab::default();
        let (first, first_token) = insert(&mut slab);
        assert!(slab.get_if(first_token).is_some());
        assert!(slab.remove(first).is_some() && slab.remove(first).is_none());
        let (second, second_token) = insert(&mut slab);
        assert_eq!(first, second);
        assert!(slab.get_if(first_token).is_none() && slab.get_if(second_token).is_some());
        assert_eq!((slab.len(), slab.slots()), (1, 0..1));
    }

    #[test]
    fn a_connection_that_cannot_be_made_takes_no_slot() {
        let mut slab = Slab::<u64>::default();
        assert_eq!(slab.insert(|_| Err("no")), Err("no"));
        assert_eq!((slab.len(), insert(&mut slab).0), (0, 0));
    }
}
