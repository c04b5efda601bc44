//! Memory nodes: where a machine has more than one, each has its own copy of the snapshot, and a shard answers from that of its CPU's.
//!
//! ```text
//! node 0   CPUs 0-31    memory ── copy 0 ── shards 0 ..        /sys/devices/system/node/node<N>/cpulist
//! node 1   CPUs 32-63   memory ── copy 1 ── shards 16 ..
//! ```
//! A line of the other node's memory comes half as fast and over a link that all shards share; copies cost memory, once the snapshot a node, and
//! once more while they are made. A machine with one node, as most have, has one snapshot and no copy.

use std::path::Path;
use std::sync::Arc;

use rustix::thread::CpuSet;
use verdict_tables::{Error, Off, Snapshot};

/// Where the kernel tells of nodes.
const ROOT: &str = "/sys/devices/system/node";

/// Which node each shard is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// CPUs of each node that has shards.
    cpus: Vec<Vec<usize>>,
    /// For each shard, its place in `cpus`.
    of: Vec<usize>,
}

impl Nodes {
    /// Of shards on these CPUs. One node where the kernel tells of none.
    pub fn of(shards: &[usize]) -> Self {
        Self::read(Path::new(ROOT), shards)
    }

    fn read(root: &Path, shards: &[usize]) -> Self {
        let directories = std::fs::read_dir(root).into_iter().flatten().flatten();
        let mut nodes: Vec<(usize, Vec<usize>)> = directories.filter_map(|entry| node(&entry.path())).collect();
        nodes.sort_unstable();
        let has_shards = |cpus: &Vec<usize>| shards.iter().any(|cpu| cpus.contains(cpu));
        let mut cpus: Vec<Vec<usize>> = nodes.into_iter().map(|(_, cpus)| cpus).filter(has_shards).collect();
        // A CPU of no node that is told of: the kernel keeps something from us, and one copy serves all.
        let of = shards.iter().map(|cpu| cpus.iter().position(|cpus| cpus.contains(cpu))).collect::<Option<Vec<_>>>();
        if of.is_none() || cpus.is_empty() {
            cpus = vec![shards.to_vec()];
        }
        Nodes { cpus, of: of.unwrap_or_else(|| vec![0; shards.len()]) }
    }

    /// How many copies that makes.
    pub fn count(&self) -> usize {
        self.cpus.len()
    }

    /// A copy for each node, made by a thread on it, one after the other. Takes as long as that takes.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn copies(&self, snapshot: Snapshot) -> Result<Copies, Error> {
        if self.count() == 1 {
            return Ok(Copies { of: vec![0; self.of.len()], all: vec![Arc::new(snapshot)] });
        }
        let on = |cpus: &Vec<usize>| {
            std::thread::scope(|scope| {
                let copy = scope.spawn(|| {
                    let mut set = CpuSet::new();
                    cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
                    // Refused by a cpuset: a copy all the same, wherever it comes to lie.
                    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
                        tracing::warn!(?cpus, "a copy of the snapshot may lie on another memory node than its shards: {error}");
                    }
                    snapshot.copy().map(Arc::new)
                });
                copy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        };
        let all = self.cpus.iter().map(on).collect::<Result<_, _>>()?;
        Ok(Copies { of: self.of.clone(), all })
    }
}

/// The number of a directory `node<N>`, and its CPUs; `None` of anything else.
fn node(directory: &Path) -> Option<(usize, Vec<usize>)> {
    let number = directory.file_name()?.to_str()?.strip_prefix("node")?.parse().ok()?;
    Some((number, cpu_list(&std::fs::read_to_string(directory.join("cpulist")).ok()?)?))
}

/// `0-3,8,10-11`, as the kernel writes it; empty for a node of nothing but memory.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend(first..=last.min(CpuSet::MAX_CPU));
    }
    Some(cpus)
}

/// One snapshot, once for each node.
#[derive(Clone)]
pub struct Copies {
    of: Vec<usize>,
    all: Vec<Arc<Snapshot>>,
}

impl Copies {
    /// The one near this shard.
    pub fn near(&self, shard: usize) -> &Arc<Snapshot> {
        &self.all[self.of[shard]]
    }

    /// Each without what is off; in the same memory.
    #[must_use]
    pub fn switched(&self, off: &Off) -> Self {
        if off.is_empty() && self.all.iter().all(|copy| copy.verdicts_off() == 0) {
            return self.clone();
        }
        Copies { of: self.of.clone(), all: self.all.iter().map(|copy| Arc::new(copy.switched(off))).collect() }
    }

    /// All of them; never empty.
    pub fn all(&self) -> &[Arc<Snapshot>] {
        &self.all
    }
}

impl std::ops::Deref for Copies {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.all[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_keys::Scheme;
    use verdict_tables::Builder;

    fn machine(name: &str, nodes: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("verdict-nodes-{name}-{}", std::process::id()));
        for (node, cpus) in nodes {
            std::fs::create_dir_all(root.join(node)).unwrap();
            std::fs::write(root.join(node).join("cpulist"), cpus).unwrap();
        }
        root
    }

    #[test]
    fn shards_find_the_node_of_their_cpu() {
        let check = |name: &str, nodes: &[(&str, &str)], shards: &[usize], count, of: &[usize]| {
            let root = machine(name, nodes);
            let found = Nodes::read(&root, shards);
            assert_eq!((found.count(), &found.of[..]), (count, of), "{name}");
            let _ = std::fs::remove_dir_all(root);
        };
        check("none", &[], &[0, 1], 1, &[0, 0]);
        check("one", &[("node0", "0-1\n")], &[0, 1], 1, &[0, 0]);
        check("two", &[("node0", "0-1,4\n"), ("node1", "2-3,5\n")], &[0, 2, 4, 5], 2, &[0, 1, 0, 1]);
        check("ten", &[("node0", "0\n"), ("node2", "1\n"), ("node10", "2\n"), ("power", "9")], &[2, 1, 0], 3, &[2, 1, 0]);
        check("without shards", &[("node0", "0-1\n"), ("node1", "2-3\n")], &[2, 3], 1, &[0, 0]);
        check("memory alone", &[("node0", "0-1\n"), ("node1", "\n")], &[0], 1, &[0]);
        check("a CPU of none", &[("node0", "0\n"), ("node1", "1\n")], &[0, 7], 1, &[0, 0]);
        check("nonsense", &[("node0", "0-x\n"), ("node1", "1\n")], &[0, 1], 1, &[0, 0]);
    }

    #[test]
    fn each_node_has_a_copy_of_its_own_with_the_same_bytes() {
        let backend = verdict_simd::detect().unwrap();
        let built = Builder::new(Scheme::Full, b"", 0).build(backend).unwrap();
        let load = || Snapshot::from_bytes(&built.bytes).unwrap();
        // CPU 0 twice would be one node; the second node's CPU may not exist here: then its copy lies where it lies.
        let root = machine("copies", &[("node0", "0\n"), ("node1", "1\n")]);
        let copies = Nodes::read(&root, &[0, 1, 1]).copies(load()).unwrap();
        std::fs::remove_dir_all(root).unwrap();
        let address = |shard: usize| copies.near(shard).as_bytes().as_ptr();
        assert!(copies.all().len() == 2 && address(0) != address(1) && address(1) == address(2));
        assert!(copies.all().iter().all(|copy| copy.as_bytes() == built.bytes && copy.generation() == built.generation));
        let single = Nodes::read(Path::new("/nowhere"), &[0, 1]).copies(load()).unwrap();
        assert!(single.all().len() == 1 && Arc::ptr_eq(single.near(0), single.near(1)));
    }
}
