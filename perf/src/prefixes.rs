//! Full prefix tables: what the internet announces, overlaid with registrations and block lists so that prefixes nest.
//!
//! ```text
//! bgp/prefixes_v4_asn_derived_*, asn-ipv6_*           one origin a prefix, flat
//! bgp/geo-whois-asn-country-ipv4_*, -ipv6_*           around and inside them: one country a prefix
//! feeds/misp-warninglists_*, ip/firehol_*             a few thousand inside or across both
//! ```
//! Each prefix has a value, and all prefixes of one origin, country or list the same: about 85,000 different ones, so that neighbours differ
//! as they do in a routing table. The value travels through a snapshot as the date and score of a vote.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use verdict_keys::Scheme;
use verdict_simd::Selected;
use verdict_tables::{Builder, Class, Rule, Snapshot, Source, Vote};

use crate::data::{self, vote};
use crate::seed::Rng;

/// A prefix of 32 or 128 bits and its value, from 1 on. IPv4 sits in the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Host bits are zero.
    pub first: u128,
    /// Length.
    pub bits: u8,
    /// Whose it is.
    pub value: u32,
}

impl Prefix {
    /// Last address.
    pub fn last(&self, width: u8) -> u128 {
        self.first | u128::MAX.checked_shr(128 - u32::from(width - self.bits)).unwrap_or(0)
    }
}

/// Prefixes of both families, by first address and length, all different.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    /// Of 32 bits.
    pub v4: Vec<Prefix>,
    /// Of 128 bits.
    pub v6: Vec<Prefix>,
    /// True where they are made up and not real.
    pub generated: bool,
}

impl Prefixes {
    /// The real ones, every `step`th of them; made-up ones where the files are not at hand.
    pub fn real_or_generated(step: usize, rng: &Rng) -> io::Result<Self> {
        match data::directory().filter(|directory| directory.join("bgp").is_dir()) {
            Some(directory) => Self::real(&directory, step),
            None => Ok(Self::generated(200_000 / step, &rng.fork("prefixes"))),
        }
    }

    fn real(directory: &Path, step: usize) -> io::Result<Self> {
        let mut tables = Tables::default();
        data::lines(&directory.join("bgp/prefixes_v4_asn_derived.txt.gz"), |line| {
            if let Some((prefix, origin)) = line.split_once('\t').or_else(|| line.split_once(' ')) {
                tables.prefix(prefix, &format!("AS{}", origin.trim()));
            }
        })?;
        for (file, kind) in [
            ("asn-ipv6_2026-06-17.csv.gz", "AS"),
            ("geo-whois-asn-country-ipv4_2026-06-17.csv.gz", "country "),
            ("geo-whois-asn-country-ipv6_2026-06-17.csv.gz", "country "),
        ] {
            data::lines(&directory.join("bgp").join(file), |line| {
                let mut fields = line.splitn(4, ',');
                if let (Some(first), Some(last), Some(whose)) = (fields.next(), fields.next(), fields.next()) {
                    tables.range(first, last, &format!("{kind}{whose}"));
                }
            })?;
        }
        for (network, list) in data::networks(directory)? {
            tables.prefix(&network, &list);
        }
        Ok(tables.finish(step, false))
    }

    /// `count` made-up prefixes of each family: as long as real ones are, in clusters, many inside others.
    pub fn generated(count: usize, rng: &Rng) -> Self {
        let mut rng = rng.clone();
        let mut tables = Tables::default();
        let (mut v4, mut v6) = (0u32, 0x2001_0DB8u128 << 96);
        for _ in 0..count {
            let bits = *rng.pick(&[8, 12, 16, 18, 20, 21, 22, 22, 23, 23, 24, 24, 24, 25, 28, 30, 32, 32]);
            v4 = if rng.one_in(4) { rng.bits() as u32 } else { v4.wrapping_add(rng.below(1 << 14) as u32) };
            tables.put(32, u128::from(v4), bits, &format!("origin {}", rng.below(20_000)));
            let bits = *rng.pick(&[29, 32, 32, 36, 40, 44, 46, 48, 48, 48, 56, 60, 64, 64, 65, 112, 127, 128]);
            v6 = if rng.one_in(4) { 1 << 125 | u128::from(rng.bits()) << 61 } else { v6 + (u128::from(rng.bits()) << 33) };
            tables.put(128, v6, bits, &format!("origin {}", rng.below(20_000)));
        }
        tables.finish(1, true)
    }

    /// A snapshot of one rule a prefix, all of one class: there the longest prefix wins.
    pub fn snapshot(&self, backend: Selected) -> io::Result<Snapshot> {
        let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
        let source = builder.source(Source { name: "prefix tables", licence: "none" });
        let v4 = self.v4.iter().map(|prefix| (IpAddr::from(Ipv4Addr::from_bits(prefix.first as u32)), prefix));
        let v6 = self.v6.iter().map(|prefix| (IpAddr::from(Ipv6Addr::from_bits(prefix.first)), prefix));
        for (network, prefix) in v4.chain(v6) {
            let plain = vote(source, Class::Malicious, (prefix.value >> 16) as u8, 1);
            let vote = Vote { first_seen_day: 0, last_seen_day: prefix.value as u16, ..plain };
            builder.add(Rule::Net { network, bits: prefix.bits }, vote).map_err(io::Error::other)?;
        }
        let built = builder.build(backend).map_err(io::Error::other)?;
        Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)
    }
}

/// The value of every verdict id of a snapshot made by [`Prefixes::snapshot`]; 0 for id 0.
pub fn values(snapshot: &Snapshot) -> Vec<u32> {
    let value = |id| snapshot.describe(id).map_or(0, |described| u32::from(described.score) << 16 | u32::from(described.last_seen_day));
    (0..=snapshot.stats().verdicts as u32).map(value).collect()
}

/// Prefixes being gathered; of equal ones the first stays.
#[derive(Default)]
struct Tables {
    v4: BTreeMap<(u128, u8), u32>,
    v6: BTreeMap<(u128, u8), u32>,
    values: HashMap<String, u32>,
}

impl Tables {
    /// Host bits are cleared; what a snapshot would take for IPv4 in disguise is passed over.
    fn put(&mut self, width: u8, address: u128, bits: u8, whose: &str) {
        let keep = if bits == 0 { 0 } else { u128::MAX << (width - bits) };
        let disguised = width == 128 && bits >= 96 && matches!(address >> 32, 0xFFFF | 0x0064_FF9B_0000_0000_0000_0000);
        if disguised {
            return;
        }
        let next = self.values.len() as u32 + 1;
        let value = *self.values.entry(whose.to_owned()).or_insert(next);
        let table = if width == 32 { &mut self.v4 } else { &mut self.v6 };
        table.entry((address & keep, bits)).or_insert(value);
    }

    fn prefix(&mut self, text: &str, whose: &str) {
        let (network, bits) = text.split_once('/').map_or((text, None), |(network, bits)| (network, bits.parse::<u8>().ok()));
        match network.parse() {
            Ok(IpAddr::V4(network)) => self.put(32, network.to_bits().into(), bits.unwrap_or(32).min(32), whose),
            Ok(IpAddr::V6(network)) => self.put(128, network.to_bits(), bits.unwrap_or(128).min(128), whose),
            Err(_) => (),
        }
    }

    /// A range as the fewest prefixes.
    fn range(&mut self, first: &str, last: &str, whose: &str) {
        let (width, mut first, last) = match (first.parse(), last.parse()) {
            (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) => (32, u128::from(first.to_bits()), u128::from(last.to_bits())),
            (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) => (128, first.to_bits(), last.to_bits()),
            _ => return,
        };
        while first <= last {
            let aligned = first.trailing_zeros().min(width);
            let fits = 127 - (last - first).saturating_add(1).leading_zeros();
            let size = aligned.min(fits);
            self.put(width as u8, first, (width - size) as u8, whose);
            match first.checked_add(1 << size) {
                Some(next) => first = next,
                None => return,
            }
        }
    }

    fn finish(self, step: usize, generated: bool) -> Prefixes {
        let list = |table: BTreeMap<(u128, u8), u32>| {
            table.into_iter().step_by(step).map(|((first, bits), value)| Prefix { first, bits, value }).collect()
        };
        Prefixes { v4: list(self.v4), v6: list(self.v6), generated }
    }
}

/// Addresses to ask for: by turns inside a random prefix, its first, its last, the neighbours outside, and uniform over all addresses.
pub fn questions(prefixes: &[Prefix], width: u8, count: usize, rng: &mut Rng) -> Vec<u128> {
    let mask = u128::MAX >> (128 - width);
    let random = |rng: &mut Rng| (u128::from(rng.bits()) << 64 | u128::from(rng.bits())) & mask;
    (0..count)
        .map(|turn| {
            let prefix = rng.pick(prefixes);
            let last = prefix.last(width);
            mask & match turn % 8 {
                0..3 => prefix.first | (random(rng) & (last ^ prefix.first)),
                3 => prefix.first,
                4 => last,
                5 => prefix.first.wrapping_sub(1),
                6 => last.wrapping_add(1),
                _ => random(rng),
            }
        })
        .collect()
}

/// Addresses as traffic has them: half inside a random prefix; the others uniform where a family is small enough to be scanned (IPv4),
/// else inside too.
pub fn traffic(prefixes: &[Prefix], width: u8, count: usize, rng: &mut Rng) -> Vec<u128> {
    let mask = u128::MAX >> (128 - width);
    let random = |rng: &mut Rng| (u128::from(rng.bits()) << 64 | u128::from(rng.bits())) & mask;
    (0..count)
        .map(|turn| match (turn % 2, width) {
            (0, 32) => random(rng),
            _ => {
                let prefix = rng.pick(prefixes);
                prefix.first | (random(rng) & (prefix.last(width) ^ prefix.first))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_becomes_the_fewest_prefixes() {
        let mut tables = Tables::default();
        tables.range("192.0.2.1", "192.0.2.10", "a");
        tables.range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "b");
        let Prefixes { v4, v6, .. } = tables.finish(1, true);
        let lengths: Vec<u8> = v4.iter().map(|prefix| prefix.bits).collect();
        assert_eq!(lengths, [32, 31, 30, 31, 32]);
        assert_eq!(v4[4].last(32), 0xC000_020A);
        assert_eq!((v6.len(), v6[0].last(128) >> 127), (2, 0), "two halves: 2^128 addresses are more than a u128 counts");
    }

    #[test]
    fn values_travel_through_a_snapshot() {
        let prefixes = Prefixes::generated(300, &Rng::new(3));
        let snapshot = prefixes.snapshot(verdict_simd::detect().unwrap()).unwrap();
        let values = values(&snapshot);
        let mut ids = [0];
        for prefix in prefixes.v4.iter().filter(|prefix| prefix.bits == 32) {
            snapshot.ids_v4(verdict_simd::detect().unwrap(), &[prefix.first as u32], &mut ids);
            assert_eq!(values[ids[0] as usize], prefix.value);
        }
    }
}
