//! From a snapshot file to a directory that daemons may trust: cut into parts, signed, and put in place in an order that no crash can spoil.
//!
//! ```text
//!  lock ─► parts that are missing ─► sync ─► read back what is there, as a daemon would ─► earlier manifest kept ─► manifest, by rename ─► prune
//!          by content: a part that    │      signature, checksums, structure, canaries                              from here on new
//!          is there is not written    └ nothing points at them yet                                                  before it, old
//! ```
//! What a reader must know (bytes, checks, assembling) is in verdict-tables; this is the other half, which only a publisher has.

mod cut;
mod error;
mod files;
mod seal;
mod secret;

pub use cut::cut;
pub use error::PublishError;
pub use seal::Sealer;
pub use secret::{SecretKey, sign};

use files::{Lock, sync_all, sync_directory, write_atomically};
use std::collections::BTreeSet;
use std::path::Path;
use verdict_simd::Backend;
use verdict_tables::Snapshot;
use verdict_tables::manifest::{Canary, Directory, KeySet, Manifest, Part, check_canaries, part_name, read_bounded, unverified};

/// How something is published.
pub struct Terms {
    /// Who signs; two while one key replaces the other.
    pub keys: Vec<SecretKey>,
    /// Unix seconds of now.
    pub now_s: u64,
    /// Seconds that it is good for.
    pub valid_s: u64,
    /// Nodes that take it, in percent.
    pub stage: u32,
    /// Questions with known answers.
    pub canaries: Vec<Canary>,
    /// Earlier manifests that stay, with their parts.
    pub keep: usize,
    /// The epoch, instead of the one after the manifest that is there.
    pub epoch: Option<u64>,
}

/// What was done.
#[derive(Debug)]
pub struct Published {
    /// As it is there now.
    pub manifest: Manifest,
    /// Parts that were not there before, and their bytes.
    pub new_parts: (usize, u64),
    /// Files that nothing needs any more and that were removed; or why some stayed, which does no harm.
    pub pruned: Result<usize, PublishError>,
}

/// Which earlier manifest a rollback goes to.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// The one before this.
    Previous,
    /// By its epoch.
    Epoch(u64),
    /// The newest of this generation.
    Generation(u64),
}

/// Publishes a snapshot file. Whatever goes wrong, what was published before stays so, complete.
pub fn publish<B: Backend>(backend: B, snapshot: &Path, to: &Path, terms: &Terms) -> Result<Published, PublishError> {
    let loaded = Snapshot::load(snapshot).map_err(|error| PublishError::Snapshot { path: snapshot.to_owned(), error })?;
    let mut site = Site::open(to, terms)?;
    let manifest = Manifest {
        epoch: site.next_epoch(terms)?,
        created_s: terms.now_s,
        expires_s: terms.now_s.saturating_add(terms.valid_s),
        rollback: false,
        generation: loaded.generation(),
        sha256: *loaded.sha256(),
        rules: loaded.stats().rules_total(),
        snapshot_bytes: loaded.as_bytes().len() as u64,
        formats: (verdict_tables::layout::VERSION, verdict_tables::layout::VERSION),
        stage: terms.stage,
        salt: secret::random()?,
        parts: Vec::new(),
        canaries: terms.canaries.clone(),
    };
    let (parts, new_parts) = site.write_parts(loaded.as_bytes())?;
    drop(loaded); // what follows reads the parts, and needs the memory
    site.commit(backend, Manifest { parts, ..manifest }, new_parts, terms)
}

/// Publishes an earlier snapshot again, under a new epoch: the explicit act without which no daemon goes back.
pub fn rollback<B: Backend>(backend: B, to: To, at: &Path, terms: &Terms) -> Result<Published, PublishError> {
    let site = Site::open(at, terms)?;
    let Some(current) = site.current.clone() else { return Err(PublishError::NothingPublished { path: at.to_owned() }) };
    let earlier = site.archived()?;
    let is_wanted = |manifest: &&Manifest| match to {
        To::Previous => manifest.sha256 != current.sha256,
        To::Epoch(epoch) => manifest.epoch == epoch,
        To::Generation(generation) => manifest.generation == generation,
    };
    let Some(wanted) = earlier.iter().rev().find(is_wanted) else {
        let there = earlier.iter().map(|manifest| format!("epoch {} generation {:016x}", manifest.epoch, manifest.generation));
        return Err(PublishError::NoSuchManifest { there: there.collect::<Vec<_>>().join(", ") });
    };
    let manifest = Manifest {
        epoch: site.next_epoch(terms)?,
        created_s: terms.now_s,
        expires_s: terms.now_s.saturating_add(terms.valid_s),
        rollback: true,
        stage: terms.stage,
        salt: secret::random()?,
        ..wanted.clone()
    };
    site.commit(backend, manifest, (0, 0), terms)
}

/// A directory that nobody else publishes to meanwhile.
struct Site {
    directory: Directory,
    keys: KeySet,
    current: Option<Manifest>,
    _lock: Lock,
}

impl Site {
    fn open(path: &Path, terms: &Terms) -> Result<Self, PublishError> {
        let keys = KeySet::new(terms.keys.iter().map(SecretKey::public).collect()).ok_or(PublishError::NoKey)?;
        let directory = Directory::new(path);
        for needed in [path, &directory.parts(), &directory.archive()] {
            std::fs::create_dir_all(needed).map_err(|error| PublishError::io(needed, error))?;
        }
        let lock = Lock::take(&path.join("lock"))?;
        let mut site = Site { current: None, directory, keys, _lock: lock };
        let manifest = site.directory.manifest();
        if manifest.try_exists().map_err(|error| PublishError::io(&manifest, error))? {
            match site.read(&manifest) {
                Ok(current) => site.current = Some(current),
                // An operator who names the epoch has seen that what is there is of no use.
                Err(_) if terms.epoch.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(site)
    }

    /// A manifest that we signed.
    fn read(&self, path: &Path) -> Result<Manifest, PublishError> {
        let refused = |refusal| PublishError::Existing { path: path.to_owned(), refusal };
        let bytes = read_bounded(path).map_err(refused)?;
        Manifest::verify(&bytes, &self.keys).map(|(manifest, _)| manifest).map_err(refused)
    }

    /// Manifests that were current once, oldest first. What cannot be read is left out: it may be of a key that is gone.
    fn archived(&self) -> Result<Vec<Manifest>, PublishError> {
        let archive = self.directory.archive();
        let mut manifests: Vec<Manifest> = files::names(&archive)?.iter().filter_map(|name| self.read(&archive.join(name)).ok()).collect();
        manifests.sort_by_key(|manifest| manifest.epoch);
        Ok(manifests)
    }

    fn next_epoch(&self, terms: &Terms) -> Result<u64, PublishError> {
        let current = self.current.as_ref().map_or(0, |current| current.epoch);
        match terms.epoch {
            None => current.checked_add(1).ok_or(PublishError::Epoch { wanted: u64::MAX, current }),
            Some(wanted) if wanted > current => Ok(wanted),
            Some(wanted) => Err(PublishError::Epoch { wanted, current }),
        }
    }

    /// Cuts the bytes and writes what is not there yet, or is there and damaged.
    fn write_parts(&mut self, bytes: &[u8]) -> Result<(Vec<Part>, (usize, u64)), PublishError> {
        let (mut parts, mut new, mut seen) = (Vec::new(), (0, 0), BTreeSet::new());
        for range in cut(bytes) {
            let content = &bytes[range];
            let part = cut::part(content);
            let path = self.directory.part(&part);
            if seen.insert(part) && !std::fs::read(&path).is_ok_and(|there| there == content) {
                write_atomically(&path, content, false)?;
                new = (new.0 + 1, new.1 + part.bytes);
            }
            parts.push(part);
        }
        // One call for thousands of files; nothing points at them before it has returned.
        sync_all(&self.directory.parts())?;
        Ok((parts, new))
    }

    /// Signs, reads back, and puts it in place.
    fn commit<B: Backend>(
        mut self,
        backend: B,
        manifest: Manifest,
        new_parts: (usize, u64),
        terms: &Terms,
    ) -> Result<Published, PublishError> {
        let refused = |refusal| PublishError::Refused { refusal };
        let bytes = sign(manifest.encode().map_err(refused)?, &terms.keys);
        let (manifest, _) = Manifest::verify(&bytes, &self.keys).map_err(refused)?;
        let assembled = self.directory.assemble(&manifest).map_err(refused)?;
        check_canaries(backend, &assembled, &manifest.canaries).map_err(refused)?;
        drop(assembled);
        if let Some(current) = &self.current {
            let kept = read_bounded(&self.directory.manifest()).map_err(refused)?;
            write_atomically(&self.directory.archived(current.epoch), &kept, true)?;
            sync_directory(&self.directory.archive())?;
        }
        write_atomically(&self.directory.manifest(), &bytes, true)?;
        sync_directory(&self.directory.path)?;
        self.current = Some(manifest.clone());
        let pruned = self.prune(terms.keep);
        Ok(Published { manifest, new_parts, pruned })
    }

    /// Removes manifests beyond those that stay, parts that none of them needs, and what an interrupted run left.
    fn prune(&self, keep: usize) -> Result<usize, PublishError> {
        let archive = self.directory.archive();
        let mut names = files::names(&archive)?;
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        let (mut pruned, mut needed) = (0, BTreeSet::new());
        let stay = names.len().saturating_sub(keep);
        for (index, name) in names.iter().enumerate() {
            let path = archive.join(name);
            if index < stay {
                pruned += usize::from(files::remove(&path)?);
                continue;
            }
            // Signed by whomever: a part too many costs its bytes, one too few a rollback. What cannot be read now may be readable later.
            let kept = read_bounded(&path).and_then(|bytes| unverified(&bytes));
            let kept = kept.map_err(|refusal| PublishError::Existing { path, refusal })?;
            needed.extend(kept.parts.iter().map(part_name));
        }
        needed.extend(self.current.iter().flat_map(|current| &current.parts).map(part_name));
        for name in files::names(&self.directory.parts())? {
            if !needed.contains(&name) {
                pruned += usize::from(files::remove(&self.directory.parts().join(name))?);
            }
        }
        for directory in [&self.directory.path, &archive] {
            pruned += files::remove_partial(directory)?;
        }
        Ok(pruned)
    }
}
