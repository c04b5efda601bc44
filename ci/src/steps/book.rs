//! `docs/` as a book, by mdBook, and whether it can be read from page to page.
//!
//! mdBook is built once, into `target/xtask/tools/`. It says little of what is wrong with a book, so a warning fails here, and the links of the pages that
//! it wrote are followed by ourselves: files and anchors, inside the book.

use crate::child::Log;
use crate::release::BUILD_LIMIT;
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Workspace, create};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Pinned: another one may write pages otherwise.
const MDBOOK: &str = "=0.5.4";
const LIMIT: Duration = Duration::from_secs(60);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let tools = create(workspace.target.join("xtask/tools"))?;
    let mut install = workspace.cargo();
    install.args(["install", "mdbook", "--version", MDBOOK, "--locked", "--no-default-features", "--quiet", "--root"]).arg(&tools);
    if let Err(reason) = log.run(install.env("CARGO_TARGET_DIR", tools.join("build")), BUILD_LIMIT) {
        return Ok(Done::Skipped(format!("mdBook cannot be built: {reason}")));
    }
    let book = workspace.target.join("book");
    if book.exists() {
        fs::remove_dir_all(&book).map_err(|error| format!("{}: {error}", book.display()))?;
    }
    let said = || log.text().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).map(str::to_owned).collect();
    suite(
        log,
        &[
            ("the_book_is_built_without_a_warning", &|| {
                let mut build = Command::new(tools.join("bin/mdbook"));
                log.run(build.arg("build").arg(workspace.root.join("docs")).arg("--dest-dir").arg(&book), LIMIT)?;
                Ok(said())
            }),
            ("every_link_leads_somewhere", &|| Ok(broken(&pages(&book)?, &book))),
        ],
    )
}

/// Every page, by its path in the book.
fn pages(book: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let (mut pages, mut left) = (BTreeMap::new(), vec![book.to_owned()]);
    while let Some(directory) = left.pop() {
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end == "html") {
                let text = fs::read_to_string(&path).map_err(failed)?;
                pages.insert(path.strip_prefix(book).unwrap_or(&path).to_owned(), text);
            }
        }
    }
    Ok(pages)
}

/// Links and pictures whose file is not in the book, or has no such anchor.
fn broken(pages: &BTreeMap<PathBuf, String>, book: &Path) -> Complaints {
    let anchors: BTreeMap<&Path, BTreeSet<String>> = pages.iter().map(|(path, text)| (path.as_path(), attributes(text, &["id"]))).collect();
    let mut complaints = Complaints::new();
    if pages.len() < 2 {
        complaints.push("the book has no pages".into());
    }
    // Of these, two are all pages in one, and one is shown under any address.
    for (path, text) in pages.iter().filter(|(path, _)| !["404.html", "print.html", "toc.html"].iter().any(|name| path.ends_with(name))) {
        for link in attributes(text, &["href", "src"])
            .iter()
            .filter(|link| !link.contains("://") && !["data:", "mailto:"].iter().any(|kind| link.starts_with(kind)))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Some(path.clone()) } else { resolved(path, file) };
            let Some(target) = target.filter(|target| book.join(target).exists() || pages.contains_key(target)) else {
                complaints.push(format!("{}: {link} leads nowhere", path.display()));
                continue;
            };
            // A page that only sends the reader on hands the anchor over.
            let target = pages.get(&target).and_then(|text| resolved(&target, sent_on(text)?)).unwrap_or(target);
            if !anchor.is_empty() && anchors.get(target.as_path()).is_some_and(|anchors| !anchors.contains(anchor)) {
                complaints.push(format!("{}: {link}: there is no such heading", path.display()));
            }
        }
    }
    complaints
}

/// Where a page of `output.html.redirect` leads.
fn sent_on(page: &str) -> Option<&str> {
    page.split_once("http-equiv=\"refresh\" content=\"0; URL=")?.1.split('"').next()
}

/// Values of attributes, as HTML has them.
fn attributes(text: &str, names: &[&str]) -> BTreeSet<String> {
    let of = |name: &&str| {
        let begin = format!(" {name}=\"");
        let values = text.split(&begin).skip(1).filter_map(|rest| rest.split('"').next());
        values.map(|value| value.replace("&amp;", "&")).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// A link of a page, from the root of the book; None when it leads out of it.
fn resolved(page: &Path, link: &str) -> Option<PathBuf> {
    let mut target = page.parent()?.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_pages_and_headings() {
        let page = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let pages = BTreeMap::from([
            page(
                "a.html",
                "<a href=\"b/c.html#there\"><a href=\"#here\"><a href=\"https://x.test/\"><a href=\"b/none.html\"><h1 id=\"top\">",
            ),
            page("b/old.html", "<meta http-equiv=\"refresh\" content=\"0; URL=c.html\">"),
            page("d.html", "<a href=\"b/old.html#there\"><a href=\"b/old.html#gone\">"),
            page("b/c.html", "<h2 id=\"there\"><a href=\"../a.html#top\"><a href=\"../../FORMAT.md\">"),
        ]);
        let found = broken(&pages, Path::new("/nowhere"));
        assert_eq!(
            found,
            [
                "a.html: #here: there is no such heading",
                "a.html: b/none.html leads nowhere",
                "b/c.html: ../../FORMAT.md leads nowhere",
                "d.html: b/old.html#gone: there is no such heading"
            ]
        );
    }
}
