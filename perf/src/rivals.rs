//! The address tables that others would take from the registry: prefixes in, values of addresses out, one address at a time.
//!
//! `treebitmap` is what ip_network_table stands on, `poptrie` the structure that the literature calls fast. perf/investigations/lpm.md has
//! the others that were tried, none of them faster.

use std::net::{Ipv4Addr, Ipv6Addr};

use ip_network_table_deps_treebitmap::IpLookupTable;

use crate::prefixes::{Prefix, Prefixes};

/// Name of the first, as records show it.
pub const TREEBITMAP: &str = "ip_network_table-deps-treebitmap 0.5";
/// Name of the second.
pub const POPTRIE: &str = "poptrie 0.2";

/// Both families in treebitmap.
pub struct Treebitmap {
    v4: IpLookupTable<Ipv4Addr, u32>,
    v6: IpLookupTable<Ipv6Addr, u32>,
}

impl Treebitmap {
    /// The longest prefix wins.
    pub fn new(prefixes: &Prefixes) -> Self {
        let (mut v4, mut v6) = (IpLookupTable::new(), IpLookupTable::new());
        for Prefix { first, bits, value } in &prefixes.v4 {
            v4.insert(Ipv4Addr::from_bits(*first as u32), (*bits).into(), *value);
        }
        for Prefix { first, bits, value } in &prefixes.v6 {
            v6.insert(Ipv6Addr::from_bits(*first), (*bits).into(), *value);
        }
        Self { v4, v6 }
    }

    /// The value of each address, 0 where no prefix covers it.
    pub fn values4(&self, addresses: &[u32], values: &mut [u32]) {
        for (address, value) in addresses.iter().zip(values) {
            *value = self.v4.longest_match(Ipv4Addr::from_bits(*address)).map_or(0, |(_, _, value)| *value);
        }
    }

    /// The value of each address, 0 where no prefix covers it.
    pub fn values6(&self, addresses: &[u128], values: &mut [u32]) {
        for (address, value) in addresses.iter().zip(values) {
            *value = self.v6.longest_match(Ipv6Addr::from_bits(*address)).map_or(0, |(_, _, value)| *value);
        }
    }

    /// Bytes of either family, as the crate counts them.
    pub fn bytes(&self) -> [usize; 2] {
        [self.v4.mem_usage(), self.v6.mem_usage()].map(|(nodes, results)| nodes + results)
    }
}

/// IPv4 in poptrie. Its IPv6 took minutes to build, and is left out.
pub struct Poptrie(poptrie::Poptrie<(u32, u8), u32>);

impl Poptrie {
    /// The longest prefix wins.
    pub fn new(prefixes: &Prefixes) -> Self {
        let mut v4 = poptrie::Poptrie::new();
        // Shortest first: it keeps siblings together, and inserting in the order of addresses moves all that follows.
        let mut shortest_first = prefixes.v4.clone();
        shortest_first.sort_by_key(|prefix| prefix.bits);
        for Prefix { first, bits, value } in shortest_first {
            v4.insert((first as u32, bits), value);
        }
        Self(v4)
    }

    /// The value of each address, 0 where no prefix covers it.
    pub fn values4(&self, addresses: &[u32], values: &mut [u32]) {
        for (address, value) in addresses.iter().zip(values) {
            *value = self.0.lookup(*address).copied().unwrap_or(0);
        }
    }
}
