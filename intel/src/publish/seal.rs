//! A seal beside a file that people write: signed once what it speaks of was checked, and never for something older than what was sealed before.
//!
//! ```text
//! lock ─► seal that is there: of a key of ours? ─► its sequence is lower, or the same for the same bytes ─► new seal, by rename ─► sync
//! ```

use super::error::PublishError;
use super::files::{Lock, sync_directory, write_atomically};
use super::secret::SecretKey;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use verdict_tables::manifest::{KeySet, SEAL_BYTES_MAX, Seal, Signature};

/// Held from before the first check until the seal is there.
pub struct Sealer<'k> {
    keys: &'k [SecretKey],
    known: KeySet,
    _lock: Lock,
}

impl<'k> Sealer<'k> {
    /// Nobody else seals in this directory meanwhile.
    pub fn open(directory: &Path, keys: &'k [SecretKey]) -> Result<Self, PublishError> {
        let known = KeySet::new(keys.iter().map(SecretKey::public).collect()).ok_or(PublishError::NoKey)?;
        Ok(Self { keys, known, _lock: Lock::take(&directory.join("lock"))? })
    }

    /// Who is believed: the keys that sign.
    pub fn known(&self) -> &KeySet {
        &self.known
    }

    /// Whether this may follow the seal that is there; what that one sealed. `anew`: though it is damaged or of a key that we do not have.
    pub fn may_follow(&self, path: &Path, seal: &Seal, anew: bool) -> Result<Option<Seal>, PublishError> {
        let Some(bytes) = read(path)? else { return Ok(None) };
        let before = match Seal::verify(seal.purpose, &bytes, &self.known) {
            Ok((before, _)) => before,
            Err(_) if anew => return Ok(None),
            Err(refusal) => return Err(PublishError::ExistingSeal { path: path.to_owned(), refusal }),
        };
        if seal.sequence > before.sequence || *seal == before {
            return Ok(Some(before));
        }
        Err(PublishError::Sequence { wanted: seal.sequence, current: before.sequence })
    }

    /// Signs and puts it in place.
    pub fn seal(&self, path: &Path, seal: &Seal) -> Result<(), PublishError> {
        let signed = seal.line();
        let sign = |key: &SecretKey| Signature { key: key.public().id(), bytes: key.sign(signed.as_bytes()) };
        let text = seal.encode(&self.keys.iter().map(sign).collect::<Vec<_>>());
        // As whoever serves it reads it.
        let back = Seal::verify(seal.purpose, text.as_bytes(), &self.known);
        back.map_err(|refusal| PublishError::ExistingSeal { path: path.to_owned(), refusal })?;
        write_atomically(path, text.as_bytes(), true)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    }
}

/// A seal that is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, PublishError> {
    let io = |error| PublishError::io(path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = Vec::new();
    file.take(SEAL_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_tables::manifest::Purpose;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("verdict-seal-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32]).unwrap()
    }

    #[test]
    fn a_sequence_rises_or_stays_with_the_same_bytes() {
        let directory = directory("rises");
        let (path, keys) = (directory.join("a.sig"), [key(1)]);
        let sealer = Sealer::open(&directory, &keys).unwrap();
        let seal = |sequence, file: &[u8]| Seal::of(Purpose::Models, sequence, file);
        let put =
            |seal: Seal| sealer.may_follow(&path, &seal, false).and_then(|_| sealer.seal(&path, &seal)).map_err(|error| error.to_string());
        put(seal(7, b"a")).unwrap();
        put(seal(7, b"a")).unwrap();
        assert_eq!(put(seal(7, b"b")).unwrap_err(), "sequence 7 does not rise above 7, which was sealed with other content");
        assert_eq!(put(seal(6, b"b")).unwrap_err(), "sequence 6 does not rise above 7, which was sealed with other content");
        put(seal(8, b"b")).unwrap();
        let (found, by) = Seal::verify_file(Purpose::Models, b"b", &std::fs::read(&path).unwrap(), sealer.known()).unwrap();
        assert_eq!((found.sequence, by), (8, keys[0].public().id()));
        assert!(Sealer::open(&directory, &keys).is_err(), "somebody else is at work");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_another_key_sealed_is_replaced_only_on_demand() {
        let directory = directory("other");
        let path = directory.join("a.sig");
        let seal = Seal::of(Purpose::Models, 7, b"a");
        Sealer::open(&directory, &[key(1)]).unwrap().seal(&path, &seal).unwrap();
        let keys = [key(2)];
        let sealer = Sealer::open(&directory, &keys).unwrap();
        assert!(sealer.may_follow(&path, &seal, false).unwrap_err().to_string().contains("signed by "));
        assert_eq!(sealer.may_follow(&path, &seal, true).unwrap(), None);
        std::fs::write(&path, b"damaged").unwrap();
        assert!(sealer.may_follow(&path, &seal, false).unwrap_err().to_string().contains("no seal"));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
