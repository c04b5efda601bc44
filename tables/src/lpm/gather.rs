//! The addresses of a batch's items, taken out so that they are looked up together.

use verdict_keys::{Address, Item};
use verdict_simd::Backend;

use super::{lookup4, lookup6};
use crate::view::View;

/// Working space; allocates nothing once warm.
#[derive(Default)]
pub(crate) struct Addresses {
    v4: Gathered<u32>,
    v6: Gathered<u128>,
}

#[derive(Default)]
struct Gathered<A> {
    addresses: Vec<A>,
    /// Whose address each is: places among the items.
    items: Vec<u32>,
    ids: Vec<u32>,
}

impl<A> Gathered<A> {
    fn clear(&mut self) {
        self.addresses.clear();
        self.items.clear();
    }

    fn push(&mut self, address: A, item: usize) {
        self.addresses.push(address);
        self.items.push(item as u32);
    }

    /// Looks all of them up, and hands on those that some prefix covers.
    fn run(&mut self, lookup: impl FnOnce(&[A], &mut [u32]), mut found: impl FnMut(usize, u32)) {
        if self.addresses.is_empty() {
            return;
        }
        self.ids.resize(self.addresses.len(), 0);
        lookup(&self.addresses, &mut self.ids);
        for (item, id) in self.items.iter().zip(&self.ids).filter(|(_, id)| **id != 0) {
            found(*item as usize, *id);
        }
    }
}

impl Addresses {
    /// Hands `found` the place and the verdict id of every item whose address some prefix covers.
    #[inline(always)]
    pub(crate) fn run<B: Backend>(&mut self, backend: B, view: &View<'_>, items: &[Item], mut found: impl FnMut(usize, u32)) {
        self.v4.clear();
        self.v6.clear();
        for (index, item) in items.iter().enumerate() {
            match item.address {
                Address::None => (),
                Address::V4(address) => self.v4.push(address, index),
                Address::V6(address) => self.v6.push(address, index),
            }
        }
        self.v4.run(|addresses, ids| lookup4(backend, &view.lpm4, addresses, ids), &mut found);
        self.v6.run(|addresses, ids| lookup6(backend, &view.lpm6, addresses, ids), &mut found);
    }
}
