//! The bans. Each rule takes one file and returns what is wrong with it, as `path:line: what, and what to do`.

use super::{Complaints, Source};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "misc", "common_utils", "stuff", "lib2"];

/// Marks of unfinished work, put together so that this file does not hold them.
const LEFTOVERS: [&str; 5] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Directories of somebody's machine.
const MACHINE_PATHS: [&str; 5] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Use", "rs/"), concat!("/tm", "p/w/")];

/// A file is named after its one idea.
pub fn file_name(source: &Source) -> Complaints {
    let stem = source.path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    let empty = source.is_rust() && EMPTY_NAMES.contains(&stem);
    if empty { vec![format!("{}: `{stem}` says nothing; name the file after the one idea inside", source.path)] } else { Vec::new() }
}

/// A stranger must be able to decide whether to read on.
pub fn header(source: &Source) -> Complaints {
    let begins_well = match source.path.rsplit('.').next() {
        Some("rs") => source.text.starts_with("//!") || source.text.starts_with("#![") && source.text.contains("\n//!"),
        Some("md") => source.text.starts_with('#'),
        _ => true,
    };
    if begins_well {
        return Vec::new();
    }
    let wanted = if source.is_rust() { "three to fifteen lines of //! that say what it is and promises" } else { "a title" };
    vec![format!("{}:1: begin with {wanted}", source.path)]
}

/// Work that is left belongs into an issue.
pub fn leftovers(source: &Source) -> Complaints {
    let marked = |line: &str| LEFTOVERS.iter().any(|mark| line.contains(mark));
    lines(source)
        .filter(|(_, line)| marked(line))
        .map(|(number, _)| format!("{}:{number}: finish it, or file an issue", source.path))
        .collect()
}

/// A reason in the text of `expect`, or an error that is passed on.
pub fn unwraps(source: &Source) -> Complaints {
    let found = source.program().filter(|(_, line)| line.contains(concat!(".unwr", "ap()")));
    found
        .map(|(number, _)| format!("{}:{number}: pass the error on, or .expect(\"the invariant that makes it impossible\")", source.path))
        .collect()
}

/// Text that is true on one machine only.
pub fn machine_paths(source: &Source) -> Complaints {
    let found = lines(source).filter(|(_, line)| MACHINE_PATHS.iter().any(|path| line.contains(path)));
    found.map(|(number, _)| format!("{}:{number}: a path of one machine; make it relative or an argument", source.path)).collect()
}

fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&Source) -> Complaints, path: &str, text: &str, complaints: usize) {
        let found = rule(&Source { path: path.into(), text: text.into() });
        assert_eq!(found.len(), complaints, "{path}: {found:?}");
    }

    #[test]
    fn a_file_needs_a_name_that_says_something() {
        check(file_name, "tables/src/utils.rs", "", 1);
        check(file_name, "tables/src/probe.rs", "", 0);
    }

    #[test]
    fn a_file_begins_with_its_header() {
        check(header, "a/src/b.rs", "use x;\n", 1);
        check(header, "a/src/b.rs", "//! The one.\nuse x;\n", 0);
        check(header, "a/fuzz/fuzz_targets/b.rs", "#![no_main]\n//! The one.\n", 0);
        check(header, "README.md", "text", 1);
    }

    #[test]
    fn work_left_for_later_is_found() {
        check(leftovers, "a.rs", concat!("//! a\n// TO", "DO later\n"), 1);
        check(leftovers, "a.rs", "//! nothing to do\n", 0);
    }

    #[test]
    fn unwrap_is_for_tests_and_comments() {
        let line = concat!("    x.unwr", "ap();\n");
        check(unwraps, "a/src/b.rs", line, 1);
        check(unwraps, "a/src/b.rs", &format!("// {line}"), 0);
        check(unwraps, "a/src/b.rs", &format!("#[cfg(test)]\nmod tests {{\n{line}}}\n"), 0);
        check(unwraps, "a/tests/b.rs", line, 0);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        check(machine_paths, "a.md", concat!("see /ho", "me/me/x"), 1);
        check(machine_paths, "a.md", "see /run/verdictd and /tmp", 0);
    }
}
