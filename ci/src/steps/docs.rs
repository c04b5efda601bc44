//! Documents that can be checked: the README's two commands, every relative link of every Markdown file, and the book's table of contents.
//! Step `book` builds the book.

use crate::child::Log;
use crate::steps::{Complaints, Done, suite, tidy};
use crate::workspace::Workspace;
use std::path::Path;

/// What a newcomer must find in the README.
const COMMANDS: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];
/// What must lie beside it.
const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "PROTOCOL.md",
    "FORMAT.md",
    "intel/sample/questions.tsv",
];

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let documents = tidy::documents(&workspace.root)?;
    suite(
        log,
        &[
            ("the_documents_are_there", &|| Ok(absent(&workspace.root))),
            ("the_readme_shows_both_commands", &|| Ok(commands(&documents))),
            ("links_lead_somewhere", &|| Ok(documents.iter().flat_map(|(path, text)| links(&workspace.root, path, text)).collect())),
            ("every_page_is_in_the_book", &|| Ok(unlisted(&documents))),
            ("no_link_leads_out_of_the_book", &|| Ok(documents.iter().flat_map(|(path, text)| outside(path, text)).collect())),
        ],
    )
}

/// Pages below `docs/` that SUMMARY.md does not name.
fn unlisted(documents: &[(String, String)]) -> Complaints {
    let summary = documents.iter().find(|(path, _)| path == "docs/SUMMARY.md").map_or("", |(_, text)| text);
    let listed: Vec<&str> = summary.lines().flat_map(targets).collect();
    let pages = documents.iter().filter_map(|(path, _)| path.strip_prefix("docs/")).filter(|page| *page != "SUMMARY.md");
    pages.filter(|page| !listed.contains(page)).map(|page| format!("docs/SUMMARY.md: list {page}")).collect()
}

/// Links of pages to what the book does not have: above `docs/`, where they work in a checkout alone.
fn outside(path: &str, text: &str) -> Complaints {
    let Some(page) = path.strip_prefix("docs/") else { return Complaints::new() };
    let depth = page.matches('/').count();
    let leads_out = |target: &&str| target.split('/').take_while(|part| *part == "..").count() > depth;
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(index, line)| {
            let out = targets(line).filter(leads_out);
            out.map(move |target| format!("{path}:{}: the book has no {target}: name the file, without a link", index + 1))
                .collect::<Complaints>()
        })
        .collect()
}

fn absent(root: &Path) -> Complaints {
    DOCUMENTS.iter().filter(|path| !root.join(path).is_file()).map(|path| format!("{path} is missing")).collect()
}

fn commands(documents: &[(String, String)]) -> Complaints {
    let text = documents.iter().find(|(path, _)| path == "README.md").map_or("", |(_, text)| text);
    COMMANDS.iter().filter(|command| !text.contains(**command)).map(|command| format!("README.md: show `{command}`")).collect()
}

/// `[text](target)`: targets with a scheme, and anchors, are not followed.
fn links(root: &Path, path: &str, text: &str) -> Complaints {
    let mut complaints = Vec::new();
    let directory = root.join(path).parent().map(Path::to_owned).unwrap_or_default();
    let mut code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        for target in targets(line).filter(|_| !code) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:") && !directory.join(file).exists() {
                complaints.push(format!("{path}:{}: the link to {file} leads nowhere", index + 1));
            }
        }
    }
    complaints
}

fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_the_book_lacks_is_named() {
        let document = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let documents =
            [document("docs/SUMMARY.md", "- [A](a.md)"), document("docs/a.md", ""), document("docs/b/c.md", ""), document("d.md", "")];
        assert_eq!(unlisted(&documents), ["docs/SUMMARY.md: list b/c.md"]);
    }

    #[test]
    fn a_link_out_of_the_book_is_named_with_its_line() {
        assert_eq!(
            outside("docs/b/c.md", "[a](../a.md)\n[f](../../F.md#x)"),
            ["docs/b/c.md:2: the book has no ../../F.md#x: name the file, without a link"]
        );
        assert_eq!(outside("intel/README.md", "[f](../F.md)"), Complaints::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "# t\n[a](Cargo.toml) [b](none.md#x) [c](https://example.com) [d](#t)\n```\nx[0](y)\n```\n";
        assert_eq!(links(root, "t.md", text), ["t.md:2: the link to none.md leads nowhere"]);
    }
}
