//! How many addresses have an answer of some kind: for gates, not for lookups. Every node is seen once.

use super::tree6::{LONG, Tree6};
use super::trie4::{NODE, Trie4, root_shift, run_of};
use crate::snapshot::Snapshot;
use crate::verdict::Verdict;

impl Snapshot {
    /// IPv4 addresses, and IPv6 networks of 64 bits, of which `counts` says yes to the answer. A /64 counts where any of its addresses does.
    pub fn count_addresses(&self, counts: impl Fn(&Verdict) -> bool) -> (u64, u64) {
        let view = self.view();
        let counted: Vec<bool> = view.templates.iter().map(counts).collect();
        (tally4(&view.lpm4, &counted), tally6(&view.lpm6, &counted))
    }
}

fn tally4(trie: &Trie4<'_>, counted: &[bool]) -> u64 {
    if trie.root.is_empty() {
        return 0;
    }
    let shift = root_shift(trie.root.len());
    trie.root.iter().map(|entry| below4(trie, *entry, shift, counted)).sum()
}

/// At most three levels, as the reader has verified.
fn below4(trie: &Trie4<'_>, entry: u32, shift: u32, counted: &[bool]) -> u64 {
    if entry & NODE == 0 {
        return u64::from(counted[entry as usize]) << shift;
    }
    if shift == 0 {
        return 0;
    }
    (0..=255).map(|byte| below4(trie, trie.nodes[run_of(trie.nodes, entry, byte) as usize], shift - 8, counted)).sum()
}

fn tally6(tree: &Tree6<'_>, counted: &[bool]) -> u64 {
    let (mut sum, mut first) = (0u64, 0);
    for (end, id) in tree.leaves().iter().zip(tree.ids) {
        let is = match id & LONG {
            0 => counted[*id as usize],
            _ => tree.long_ids[tree.block(*id)].iter().any(|id| counted[*id as usize]),
        };
        if is {
            sum = sum.saturating_add((end - first).saturating_add(1));
        }
        first = end.wrapping_add(1);
    }
    sum
}

#[cfg(test)]
mod tests {
    use crate::{Builder, Class, Rule, Snapshot, Source, Vote};
    use verdict_keys::Scheme;
    use verdict_simd::Portable;

    #[test]
    fn addresses_are_counted_once_however_deep_their_rule_lies() {
        let mut builder = Builder::new(Scheme::Full, b"", 0);
        let source = builder.source(Source { name: "one", licence: "" });
        let vote = |class| Vote {
            source,
            class,
            allow: class == Class::Clean,
            overrides: false,
            score: 0,
            confidence: 50,
            categories: 0,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 60,
        };
        for (network, bits, class) in [
            ("198.0.0.0", 8, Class::Malicious),
            ("198.51.100.0", 24, Class::Malicious),
            ("198.51.0.0", 16, Class::Clean),
            ("203.0.113.7", 32, Class::Malicious),
            ("192.0.2.0", 25, Class::Malicious),
            ("2001:db8::", 48, Class::Malicious),
            ("2001:db8:1::7", 128, Class::Malicious),
            ("2001:db8:1::9", 128, Class::Malicious),
            ("2001:db8:0:7::", 64, Class::Clean),
        ] {
            builder.add(Rule::Net { network: network.parse().unwrap(), bits }, vote(class)).unwrap();
        }
        let snapshot = Snapshot::from_bytes(&builder.build(Portable::new()).unwrap().bytes).unwrap();
        let (v4, v6) = snapshot.count_addresses(|verdict| verdict.class() == Some(Class::Malicious));
        assert_eq!(v4, (1 << 24) - (1 << 16) + 1 + 128);
        assert_eq!(v6, (1 << 16) - 1 + 1);
        assert_eq!(snapshot.count_addresses(|_| false), (0, 0));
        let empty = Snapshot::from_bytes(&Builder::new(Scheme::Full, b"", 0).build(Portable::new()).unwrap().bytes).unwrap();
        assert_eq!(empty.count_addresses(|verdict| verdict.class() == Some(Class::Malicious)), (0, 0));
    }
}
