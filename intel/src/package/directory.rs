//! Directories as feeds: all files below one, or the events that a MISP manifest names.
//!
//! ```text
//! manifest.json   {"<uuid>": {"info": …, "timestamp": "…", "integrity:sha256": "…"}}      as MISP writes it
//!                 {"<uuid>": "<timestamp>"}                                                as old generators wrote it
//! <uuid>.json     each event; one that is missing, or whose SHA-256 is not the manifest's, is an error of the whole feed
//! ```
//! Events that the manifest does not name were withdrawn, and are not read. Links are not followed.

use super::{Member, Package, Visit, count, matches};
use crate::limits::{DIRECTORY_DEPTH_MAX, MANIFEST_BYTES_MAX};
use crate::open::{Budget, Metered, Sum, unpack};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The integrity of an event, where the manifest tells it.
type Events = BTreeMap<String, Option<String>>;

pub(super) fn each(directory: &Path, wanted: &[String], visit: Visit<'_>) -> Result<Package, String> {
    let manifest = directory.join("manifest.json");
    let events = if manifest.is_file() { Some(read_manifest(&manifest)?) } else { None };
    let files = match &events {
        Some(events) => event_files(directory, events)?,
        None => {
            let mut files = Vec::new();
            collect(directory, "", 0, &mut files)?;
            files.sort();
            files
        }
    };
    let mut package = Package { packed: if events.is_some() { "a MISP feed" } else { "a directory" }.to_owned(), ..Package::default() };
    for (name, path) in &files {
        package.total_bytes += fs::metadata(path).map_err(|error| format!("{name}: {error}"))?.len();
    }
    let budget = Budget::of(&package.meter);
    for (name, path) in &files {
        let told = |error: std::io::Error| format!("{name}: {error}");
        let sum = Sum::default();
        let all = Metered { input: File::open(path).map_err(told)?, meter: package.meter.clone(), sum: package.sum.clone() };
        let own = Metered { input: all, meter: Default::default(), sum: sum.clone() };
        let opened = unpack(own, &budget).map_err(told)?;
        visit(&package, Member { name: Some(name), wanted: matches(name, wanted), opened })?;
        let uuid = name.trim_end_matches(".json");
        if let Some(Some(expected)) = events.as_ref().and_then(|events| events.get(uuid)) {
            let found: String = sum.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
            if !found.eq_ignore_ascii_case(expected) {
                return Err(format!("{name}: its SHA-256 is {found}, and manifest.json says {expected}"));
            }
        }
    }
    Ok(package)
}

fn read_manifest(path: &Path) -> Result<Events, String> {
    let mut bytes = Vec::new();
    let told = |why: String| format!("manifest.json: {why}");
    let file = File::open(path).map_err(|error| told(error.to_string()))?;
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| told(error.to_string()))?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(told(format!("more than MANIFEST_BYTES_MAX ({MANIFEST_BYTES_MAX}) bytes")));
    }
    let manifest: BTreeMap<String, Value> = serde_json::from_slice(&bytes).map_err(|error| told(error.to_string()))?;
    let event = |(uuid, entry): (String, Value)| {
        // Names of files are made of them.
        if uuid.is_empty() || uuid.len() > 64 || !uuid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(told(format!("{uuid:?} is no identifier of an event")));
        }
        match entry {
            Value::Object(fields) => Ok((uuid, fields.get("integrity:sha256").and_then(Value::as_str).map(str::to_owned))),
            Value::String(_) | Value::Number(_) => Ok((uuid, None)),
            _ => Err(told(format!("{uuid}: neither an object nor a timestamp"))),
        }
    };
    manifest.into_iter().map(event).collect()
}

fn event_files(directory: &Path, events: &Events) -> Result<Vec<(String, PathBuf)>, String> {
    let file = |uuid: &String| {
        let name = format!("{uuid}.json");
        let path = directory.join(&name);
        if path.is_file() { Ok((name, path)) } else { Err(format!("{name}: manifest.json names it, and it is not there")) }
    };
    let mut members = 0;
    events.keys().map(|uuid| count(&mut members).and_then(|()| file(uuid))).collect()
}

/// Regular files below, named from the top.
fn collect(directory: &Path, prefix: &str, depth: usize, into: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    if depth > DIRECTORY_DEPTH_MAX {
        return Err(format!("{prefix}: deeper than DIRECTORY_DEPTH_MAX ({DIRECTORY_DEPTH_MAX})"));
    }
    let told = |error: std::io::Error| format!("{prefix}: {error}");
    for entry in fs::read_dir(directory).map_err(told)? {
        let entry = entry.map_err(told)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(told)?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), depth + 1, into)?;
        } else if kind.is_file() {
            count(&mut into.len().clone())?;
            into.push((name, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, temporary};
    use std::fs;

    const ONE: &str = "11111111-0000-4000-8000-000000000001";
    const TWO: &str = "22222222-0000-4000-8000-000000000002";

    #[test]
    fn a_directory_gives_its_files_by_name() {
        let directory = temporary("directory");
        fs::create_dir(directory.join("b")).unwrap();
        for name in ["c.txt", "a.txt", "b/x.txt"] {
            fs::write(directory.join(name), name).unwrap();
        }
        let (packed, files) = read(&directory, &[]).unwrap();
        assert_eq!(
            (packed.as_str(), files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()),
            ("a directory", vec!["a.txt", "b/x.txt", "c.txt"])
        );
        assert_eq!(read(&directory, &["b/*"]).unwrap().1.len(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn both_shapes_of_a_manifest_name_events() {
        let directory = temporary("misp");
        fs::write(directory.join(format!("{ONE}.json")), "{}").unwrap();
        fs::write(directory.join(format!("{TWO}.json")), "{\"a\":1}").unwrap();
        fs::write(directory.join("withdrawn.json"), "{}").unwrap();
        let sum = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"; // of {}
        let check = |manifest: &str| {
            fs::write(directory.join("manifest.json"), manifest).unwrap();
            read(&directory, &[])
        };
        let both = check(&format!("{{\"{TWO}\": \"1777593600\", \"{ONE}\": 1777593600}}")).unwrap();
        assert_eq!((both.0.as_str(), both.1.len()), ("a MISP feed", 2));
        let one = check(&format!("{{\"{ONE}\": {{\"info\": \"x\", \"timestamp\": \"1\", \"integrity:sha256\": \"{sum}\"}}}}")).unwrap();
        assert_eq!(one.1, [(format!("{ONE}.json"), "{}".to_owned())]);
        for (manifest, part) in [
            (format!("{{\"{TWO}\": {{\"integrity:sha256\": \"{sum}\"}}}}"), "manifest.json says"),
            (format!("{{\"{}\": 1}}", ONE.replace('1', "3")), "is not there"),
            ("{\"../x\": 1}".to_owned(), "no identifier"),
            (format!("{{\"{ONE}\": []}}"), "neither"),
            (format!("{{\"{ONE}\": 1,}}"), "line 1 column"),
        ] {
            let error = check(&manifest).unwrap_err();
            assert!(error.contains(part), "{manifest}: {error}");
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
