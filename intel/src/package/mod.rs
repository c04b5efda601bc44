//! A feed of several files: an archive (zip, tar, each file in it gzip or zstd or neither), a directory, or the directory of a MISP feed.
//!
//! ```text
//! path ─┬─ one file ────────────► itself
//!       ├─ tar, tar.gz, tar.zst ─► its regular files, in their order       ┐ those whose names `members` asks for;
//!       ├─ zip ─────────────────► its files, in the order of its directory │ archives within archives are not opened
//!       └─ directory ───────────► manifest.json? a MISP feed's events      ┘ else all files below, by name
//! ```
//! What comes out of all of it counts against one budget (`EXPANDED_BYTES_MAX`, `EXPANSION_RATIO_MAX`), and there are at most `MEMBERS_MAX` files. A
//! package that cannot be read to its end is an error of the whole feed.

mod directory;
mod names;

pub use names::matches;

use crate::limits::{MEMBERS_MAX, ZIP_BYTES_MAX};
use crate::open::{Bounded, Budget, Meter, Metered, Opened, Sum, unpack};
use crate::tar::{Tar, is_tar};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

/// The file or directory that a feed is.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Bytes of the file, or of all files of the directory.
    pub total_bytes: u64,
    /// How far they have been read.
    pub meter: Meter,
    /// SHA-256 of what has been read of them, one after another.
    pub sum: Sum,
    /// `gzip`, `tar, gzip`, `zip`, `a directory`, …; empty for a plain file.
    pub packed: String,
}

/// One file of it.
pub struct Member<'a> {
    /// Its name in the archive or directory; `None` for a feed that is one file.
    pub name: Option<&'a str>,
    /// Does the feed ask for it?
    pub wanted: bool,
    /// Its bytes.
    pub opened: Opened<'a>,
}

/// Takes files as they come, those that nobody asks for too: lines are numbered through all of them. An error ends the reading of the feed.
pub type Visit<'v> = &'v mut dyn FnMut(&Package, Member<'_>) -> Result<(), String>;

/// Gives each file of a feed, and says whether `wanted` asks for its name.
pub fn each(path: &Path, wanted: &[String], visit: Visit<'_>) -> Result<Package, String> {
    let told = |error: io::Error| error.to_string();
    let metadata = std::fs::metadata(path).map_err(told)?;
    if metadata.is_dir() {
        return directory::each(path, wanted, visit);
    }
    from_reader(File::open(path).map_err(told)?, metadata.len(), wanted, visit)
}

/// The same for any stream; `total_bytes` is its size, 0 if unknown.
pub fn from_reader(input: impl Read, total_bytes: u64, wanted: &[String], visit: Visit<'_>) -> Result<Package, String> {
    let mut package = Package { total_bytes, ..Package::default() };
    let file = Metered { input, meter: package.meter.clone(), sum: package.sum.clone() };
    let budget = Budget::of(&package.meter);
    let opened = unpack(file, &budget).map_err(|error| error.to_string())?;
    package.packed = opened.packed.to_owned();
    if opened.head.starts_with(b"PK\x03\x04") {
        package.packed = joined("zip", opened.packed);
        zip_members(&package, opened, wanted, visit)?;
    } else if is_tar(&opened.head) {
        package.packed = joined("tar", opened.packed);
        tar_members(&package, opened, wanted, visit)?;
    } else {
        visit(&package, Member { name: None, wanted: true, opened })?;
    }
    Ok(package)
}

fn joined(archive: &str, packed: &str) -> String {
    if packed.is_empty() { archive.to_owned() } else { format!("{archive}, {packed}") }
}

fn tar_members(package: &Package, opened: Opened<'_>, wanted: &[String], visit: Visit<'_>) -> Result<(), String> {
    let budget = opened.budget.clone();
    let mut tar = Tar::new(opened.into_reader());
    let mut members = 0;
    while let Some(name) = tar.next_file().map_err(|error| error.to_string())? {
        count(&mut members)?;
        member(package, &name, wanted, &mut tar, &budget, visit)?;
    }
    Ok(())
}

/// The directory of a zip archive stands at its end: the file is held, up to `ZIP_BYTES_MAX`.
fn zip_members(package: &Package, opened: Opened<'_>, wanted: &[String], visit: Visit<'_>) -> Result<(), String> {
    let budget = opened.budget.clone();
    let mut bytes = Vec::new();
    opened.into_reader().take(ZIP_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > ZIP_BYTES_MAX {
        return Err(format!("a zip archive of more than ZIP_BYTES_MAX ({ZIP_BYTES_MAX}) bytes"));
    }
    let zip = |error: zip::result::ZipError| format!("zip: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(zip)?;
    let mut members = 0;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(zip)?;
        let name = file.name().map_err(zip)?.into_owned();
        if !file.is_file() {
            continue;
        }
        count(&mut members)?;
        // What a zip holds is packed in itself: the budget counts it as such.
        let unpacked = Bounded { input: &mut file, budget: budget.clone(), is_packed: true };
        member(package, &name, wanted, unpacked, &budget, visit)?;
    }
    Ok(())
}

fn count(members: &mut usize) -> Result<(), String> {
    *members += 1;
    if *members > MEMBERS_MAX { Err(format!("more than MEMBERS_MAX ({MEMBERS_MAX}) files")) } else { Ok(()) }
}

fn member(package: &Package, name: &str, wanted: &[String], input: impl Read, budget: &Budget, visit: Visit<'_>) -> Result<(), String> {
    let opened = unpack(input, budget).map_err(|error| format!("{name}: {error}"))?;
    visit(package, Member { name: Some(name), wanted: matches(name, wanted), opened })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::tests::entry;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    use std::path::PathBuf;

    pub(super) fn temporary(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("verdict-package-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    pub(super) fn read(path: &Path, wanted: &[&str]) -> Result<(String, Vec<(String, String)>), String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let mut found = Vec::new();
        let package = each(path, &wanted, &mut |_, member| {
            let name = member.name.unwrap_or_default().to_owned();
            if !member.wanted {
                std::io::copy(&mut member.opened.into_reader(), &mut std::io::sink()).map_err(|error| error.to_string())?;
                return Ok(());
            }
            let mut text = String::new();
            member.opened.into_reader().read_to_string(&mut text).map_err(|error| error.to_string())?;
            found.push((name, text));
            Ok(())
        })?;
        assert_eq!(package.meter.bytes(), package.total_bytes);
        Ok((package.packed, found))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn check(name: &str, bytes: &[u8], wanted: &[&str], packed: &str, expected: &[(&str, &str)]) {
        let directory = temporary(name);
        let path = directory.join(name);
        std::fs::write(&path, bytes).unwrap();
        let expected = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>();
        assert_eq!(read(&path, wanted).unwrap(), (packed.to_owned(), expected), "{name}");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn archives_give_their_files_and_plain_files_themselves() {
        check("plain.txt", b"a.example\n", &[], "", &[("", "a.example\n")]);
        check("plain.txt.gz", &gzip(b"a.example\n"), &[], "gzip", &[("", "a.example\n")]);
        let tar = [entry("d/one.txt", b'0', b"one\n"), entry("two.txt.gz", b'0', &gzip(b"two\n")), entry("README", b'0', b"x")].concat();
        let both = [("d/one.txt", "one\n"), ("two.txt.gz", "two\n")];
        check("all.tar", &tar, &["*.txt", "*.gz"], "tar", &both);
        check("all.tar.gz", &gzip(&tar), &["*", "!README"], "tar, gzip", &both);
        let zipped = zip(&[("d/one.txt", b"one\n"), ("two.txt.gz", &gzip(b"two\n")), ("README", b"x")]);
        check("all.zip", &zipped, &["*.txt*"], "zip", &both);
    }

    #[test]
    fn bombs_in_archives_end_at_the_same_bounds() {
        let directory = temporary("bombs");
        let bomb = vec![b'\n'; 40 << 20];
        for (name, bytes) in
            [("bomb.zip", zip(&[("a.txt", &bomb[..8 << 20]), ("b.txt", &bomb)])), ("bomb.tar", entry("a.gz", b'0', &gzip(&bomb)))]
        {
            let path = directory.join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, &[]).unwrap_err();
            assert!(error.contains("EXPANSION_RATIO_MAX"), "{name}: {error}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let directory = temporary("damaged");
        let zipped = zip(&[("a.txt", b"one two three\n")]);
        let mut flipped = zipped.clone();
        flipped[40] ^= 0x10;
        let tar = entry("a.txt", b'0', &[b'x'; 2000]);
        for (name, bytes) in [("cut.zip", &zipped[..zipped.len() - 5]), ("flipped.zip", &flipped), ("cut.tar", &tar[..1000])] {
            let path = directory.join(name);
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path, &[]).is_err(), "{name}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
