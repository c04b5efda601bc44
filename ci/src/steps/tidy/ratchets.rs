//! Numbers that may only fall, and ties of a source to the document that describes it; kept in `ci/ratchets.toml`.
//!
//! A tie holds the FNV-1a of the source's program lines (comments and tests left out). It notices edits, nothing more: whoever changes the
//! source reads the document, then blesses.

use super::{Complaints, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "ci/ratchets.toml";
const HEADER: &str = "# Written by `cargo xtask tidy --bless`. Numbers may only fall. A tie names a document, the source that it describes, and the\n\
                      # source's fingerprint when somebody last saw to it that they agree.\n\n";
/// One screen; longer functions are counted.
const FUNCTION_LINES: usize = 60;
/// Half an hour's reading, comments, empty lines and tests not counted; longer files are.
const FILE_LINES: usize = 400;
/// Documents, and the sources whose change makes them doubtful.
const TIES: [(&str, &str); 2] = [("PROTOCOL.md", "wire/src/frame.rs"), ("FORMAT.md", "tables/src/layout.rs")];

/// The file's content.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratchets {
    /// Functions of more than FUNCTION_LINES lines.
    long_functions: usize,
    /// Files of more than FILE_LINES program lines.
    long_files: usize,
    /// Document: fingerprint of its source.
    ties: BTreeMap<String, String>,
}

/// Compares what is with what was.
pub fn check(root: &Path, sources: &[Source]) -> Result<Complaints, String> {
    let was = load(root)?;
    let (functions, files) = (long_functions(sources), long_files(sources));
    let mut complaints = Vec::new();
    for (name, most, found) in [
        (format!("functions over {FUNCTION_LINES} lines"), was.long_functions, functions),
        (format!("files over {FILE_LINES} lines"), was.long_files, files),
    ] {
        if found.len() > most {
            complaints.push(format!("{} {name}, and there may be {most} ({FILE}); make one shorter of: {}", found.len(), found.join(", ")));
        }
    }
    for (document, print) in ties(sources) {
        if was.ties.get(&document) != Some(&print) {
            let source = TIES.iter().find(|(known, _)| *known == document).map_or("its source", |(_, source)| source);
            complaints.push(format!("{source} changed: read {document} again, correct it, then `cargo xtask tidy --bless`"));
        }
    }
    Ok(complaints)
}

/// Writes what is true now, but no number higher than it was.
pub fn bless(root: &Path, sources: &[Source]) -> Result<(), String> {
    let was = load(root)?;
    let now = Ratchets {
        long_functions: was.long_functions.min(long_functions(sources).len()),
        long_files: was.long_files.min(long_files(sources).len()),
        ties: ties(sources),
    };
    let text = toml::to_string(&now).map_err(|error| format!("{FILE}: {error}"))?;
    std::fs::write(root.join(FILE), format!("{HEADER}{text}")).map_err(|error| format!("{FILE}: {error}"))
}

fn load(root: &Path) -> Result<Ratchets, String> {
    let text = std::fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
}

/// `path:line name`, by indentation: rustfmt closes a function in the column where it began.
fn long_functions(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let lines: Vec<(usize, &str)> = source.program().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let indentation = &line[..line.len() - line.trim_start().len()];
            let end = lines[index..].iter().find(|(_, line)| *line == format!("{indentation}}}"));
            if end.is_some_and(|(end, _)| end - number > FUNCTION_LINES) {
                found.push(format!("{}:{number} {name}", source.path));
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if !line.trim_end().ends_with('{') && !line.trim_end().ends_with('(') {
        return None;
    }
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let long = |source: &&Source| source.program().filter(|(_, line)| !line.trim().is_empty()).count() > FILE_LINES;
    sources.iter().filter(long).map(|source| source.path.clone()).collect()
}

fn ties(sources: &[Source]) -> BTreeMap<String, String> {
    let text = |path: &str| sources.iter().find(|source| source.path == path);
    let tie =
        |(document, source): &(&str, &str)| text(document).and(text(source)).map(|source| ((*document).to_owned(), fingerprint(source)));
    TIES.iter().filter_map(tie).collect()
}

fn fingerprint(source: &Source) -> String {
    let bytes = source.program().filter(|(_, line)| !line.trim().is_empty()).flat_map(|(_, line)| line.trim().bytes().chain([b'\n']));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "a/src/b.rs".into(), text: text.into() }
    }

    #[test]
    fn a_function_over_the_limit_is_found_by_its_name() {
        let body = "        x();\n".repeat(FUNCTION_LINES);
        let text =
            format!("impl A {{\n    pub(crate) fn long<T>(\n    ) {{\n{body}    }}\n\n    fn short() {{\n        x();\n    }}\n}}\n");
        assert_eq!(long_functions(&[source(&text)]), ["a/src/b.rs:2 long"]);
    }

    #[test]
    fn the_fingerprint_sees_the_program_and_not_its_comments() {
        let (one, commented, other) =
            (source("const A: u8 = 1;\n"), source("//! Why.\n\nconst A: u8 = 1;\n"), source("const A: u8 = 2;\n"));
        assert_eq!(fingerprint(&one), fingerprint(&commented));
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
