//! Do batched address lookups answer as others do? The snapshot's tables, a well-known crate and a scan of all prefixes, over millions of addresses.
//!
//! Asked are addresses inside prefixes, the first and last of each, the neighbours outside, and uniform ones (`prefixes::questions`).
//! All rules are of one class here, so the longest prefix wins; precedence between classes is the business of `oracle.rs` and of tables' own tests.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use verdict_simd::Selected;
use verdict_tables::Snapshot;

use crate::prefixes::{Prefix, Prefixes, questions, values};
use crate::rivals::{TREEBITMAP, Treebitmap};
use crate::seed::Rng;

/// Addresses in memory at once.
const PORTION: usize = 1 << 18;

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// Addresses of both families.
    pub asked: usize,
    /// How many of them some prefix covers.
    pub covered: usize,
    /// How many of them were also answered by a scan.
    pub scanned: usize,
    /// A line for each answer that differs.
    pub differences: Vec<String>,
}

/// Asks `count` addresses of each family, on every backend of this machine by turns.
pub fn compare(prefixes: &Prefixes, count: usize, scanned: usize, rng: &Rng) -> io::Result<Report> {
    let backends = verdict_simd::available();
    let snapshot = prefixes.snapshot(backends[0])?;
    let values = values(&snapshot);
    let mut report = Report::default();
    let treebitmap = Treebitmap::new(prefixes);
    let v4 = Family {
        prefixes: &prefixes.v4,
        width: 32,
        show: |address| Ipv4Addr::from_bits(address as u32).to_string(),
        ours: &|backend: Selected, snapshot: &Snapshot, addresses: &[u128], ids: &mut [u32]| {
            snapshot.ids_v4(backend, &narrow(addresses), ids);
        },
        rival: &|addresses: &[u128], values: &mut [u32]| treebitmap.values4(&narrow(addresses), values),
    };
    v4.compare(&snapshot, &values, &backends, [count, scanned], &mut rng.fork("addresses v4"), &mut report);
    let v6 = Family {
        prefixes: &prefixes.v6,
        width: 128,
        show: |address| Ipv6Addr::from_bits(address).to_string(),
        ours: &|backend: Selected, snapshot: &Snapshot, addresses: &[u128], ids: &mut [u32]| snapshot.ids_v6(backend, addresses, ids),
        rival: &|addresses: &[u128], values: &mut [u32]| treebitmap.values6(addresses, values),
    };
    v6.compare(&snapshot, &values, &backends, [count, scanned], &mut rng.fork("addresses v6"), &mut report);
    Ok(report)
}

type Ours<'a> = &'a dyn Fn(Selected, &Snapshot, &[u128], &mut [u32]);
type Rival<'a> = &'a dyn Fn(&[u128], &mut [u32]);

struct Family<'a> {
    prefixes: &'a [Prefix],
    width: u8,
    show: fn(u128) -> String,
    ours: Ours<'a>,
    rival: Rival<'a>,
}

impl Family<'_> {
    fn compare(
        &self,
        snapshot: &Snapshot,
        values: &[u32],
        backends: &[Selected],
        [count, scanned]: [usize; 2],
        rng: &mut Rng,
        report: &mut Report,
    ) {
        let mut left = count;
        for backend in backends.iter().cycle() {
            let addresses = questions(self.prefixes, self.width, left.min(PORTION), rng);
            let mut ids = vec![0; addresses.len()];
            (self.ours)(*backend, snapshot, &addresses, &mut ids);
            let ours: Vec<u32> = ids.iter().map(|id| values[*id as usize]).collect();
            let mut theirs = vec![0; addresses.len()];
            (self.rival)(&addresses, &mut theirs);
            self.note(&addresses, &ours, &theirs, TREEBITMAP, report);
            if left == count {
                let some = &addresses[..scanned.min(addresses.len())];
                let theirs: Vec<u32> = some.iter().map(|address| scan(self.prefixes, self.width, *address)).collect();
                self.note(some, &ours, &theirs, "a scan", report);
                report.scanned += some.len();
            }
            report.asked += addresses.len();
            report.covered += ours.iter().filter(|value| **value != 0).count();
            left -= addresses.len();
            if left == 0 {
                return;
            }
        }
    }

    fn note(&self, addresses: &[u128], ours: &[u32], theirs: &[u32], whose: impl Display, report: &mut Report) {
        for ((address, ours), theirs) in addresses.iter().zip(ours).zip(theirs).filter(|((_, ours), theirs)| ours != theirs) {
            report.differences.push(format!("{}: {ours} here, {theirs} by {whose}", (self.show)(*address)));
        }
    }
}

fn narrow(addresses: &[u128]) -> Vec<u32> {
    addresses.iter().map(|address| *address as u32).collect()
}

/// The longest prefix that covers the address, found by looking at all of them.
fn scan(prefixes: &[Prefix], width: u8, address: u128) -> u32 {
    let covers = |prefix: &&Prefix| prefix.first <= address && address <= prefix.last(width);
    prefixes.iter().filter(covers).max_by_key(|prefix| prefix.bits).map_or(0, |prefix| prefix.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_tables_are_answered_alike() {
        let report = compare(&Prefixes::generated(2_000, &Rng::new(1)), 20_000, 200, &Rng::new(2)).unwrap();
        assert_eq!((report.differences.len(), report.asked, report.scanned), (0, 40_000, 400), "{:?}", report.differences.first());
        assert!(report.covered > 20_000);
    }

    #[test]
    fn a_rule_that_is_missing_is_a_difference() {
        let all = Prefixes::generated(2_000, &Rng::new(1));
        let mut fewer = all.clone();
        let gone = fewer.v6.swap_remove(7);
        let snapshot = fewer.snapshot(verdict_simd::detect().unwrap()).unwrap();
        let mut ids = [0];
        snapshot.ids_v6(verdict_simd::detect().unwrap(), &[gone.first], &mut ids);
        assert_ne!(values(&snapshot)[ids[0] as usize], scan(&all.v6, 128, gone.first));
    }
}
