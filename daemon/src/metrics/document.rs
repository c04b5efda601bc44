//! Which metrics there are, told by a scrape itself: `verdictd --list-metrics`, and docs/metrics.md, which a test holds to it.

use super::{Form, Metrics, sources};
use std::collections::{BTreeMap, BTreeSet};

/// A metric as an operator sees it.
struct Told {
    name: String,
    kind: String,
    help: String,
    /// Label names with their values, for all labels but `le`.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Values of a label that are listed; more are too many to read.
const VALUES_SHOWN: usize = 16;

/// A line a metric: name, kind, help, with tabs between.
pub fn list() -> String {
    told().iter().map(|told| format!("{}\t{}\t{}\n", told.name, told.kind, told.help)).collect()
}

/// docs/metrics.md.
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n<!-- Written from the code: VERDICT_BLESS=1 cargo test -p verdictd --lib metrics. -->\n\n\
        `GET /metrics` on the admin listener, in OpenMetrics 1.0 where the scraper asks for it, else in Prometheus' text format 0.0.4; the series are the same.\n\
        Numbers of all shards are summed, but for those with a label `shard`. `verdictd --list-metrics` prints this list. Alert rules, their tests and a dashboard\n\
        are in `observe/`.\n\n\
        | metric | kind | labels | what |\n|---|---|---|---|\n",
    );
    for Told { name, kind, help, labels } in told() {
        let labels: Vec<String> = labels.iter().map(|(label, values)| shown(label, values)).collect();
        text += &format!("| `{name}` | {kind} | {} | {help} |\n", labels.join("; "));
    }
    text
}

fn shown(label: &str, values: &BTreeSet<String>) -> String {
    let open = ["shard", "source", "version", "backend", "driver"].contains(&label) || values.len() > VALUES_SHOWN;
    if open { format!("`{label}`") } else { format!("`{label}`: {}", values.iter().cloned().collect::<Vec<_>>().join(", ")) }
}

fn told() -> Vec<Told> {
    let metrics = Metrics::new(1, "portable", "epoll");
    metrics.sources.set(vec![sources::example("a feed")]);
    let text = metrics.render(Form::Text);
    let mut all: Vec<Told> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            // The encoder ends every help with a full stop.
            let help = help.trim_end_matches('.').to_owned();
            all.push(Told { name: name.into(), kind: String::new(), help, labels: BTreeMap::new() });
        } else if let (Some(rest), Some(last)) = (line.strip_prefix("# TYPE "), all.last_mut()) {
            last.kind = rest.rsplit(' ').next().unwrap_or_default().into();
        } else if let (Some((_, labels)), Some(last)) = (line.rsplit_once('}').and_then(|(head, _)| head.split_once('{')), all.last_mut()) {
            for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")).filter(|(label, _)| *label != "le") {
                last.labels.entry(label.into()).or_default().insert(value.trim_end_matches('"').into());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_document_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("VERDICT_BLESS").is_some() {
            std::fs::write(&path, document()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == document(),
            "docs/metrics.md is another than the code says: VERDICT_BLESS=1 cargo test -p verdictd --lib metrics"
        );
    }

    /// Words that begin with `verdictd_`, but for those in the name of a recording rule, `level:metric:operation`.
    fn named(text: &str) -> BTreeSet<&str> {
        let is_of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let words = text.match_indices("verdictd_").filter(|(at, _)| !text[..*at].ends_with([':', '_', '/', '-']));
        words.map(|(at, _)| &text[at..at + text[at..].bytes().take_while(|byte| is_of_a_name(byte)).count()]).collect()
    }

    /// A panel or an alert on a metric that is not there is silent for ever.
    #[test]
    fn alerts_dashboard_and_documents_name_only_metrics_that_are_there() {
        let told = told();
        let known = |name: &str| {
            let of = |suffix: &str| {
                name.strip_suffix(suffix).is_some_and(|base| told.iter().any(|told| told.name == base && told.kind == "histogram"))
            };
            // `verdictd_overlay_*` stands for all of them.
            told.iter().any(|told| told.name == name || name.ends_with('_') && told.name.starts_with(name))
                || of("_bucket")
                || of("_sum")
                || of("_count")
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files: Vec<_> =
            ["observe/prometheus/verdictd.rules.yml", "observe/prometheus/verdictd.test.yml", "observe/prometheus/verdictd.days.test.yml"]
                .map(|name| root.join(name))
                .into();
        files.push(root.join("observe/grafana/verdictd.json"));
        let documents = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        files.extend(documents.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
        let mut found = 0;
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for name in named(&text) {
                assert!(known(name), "{} names {name}, and there is no such metric", path.display());
                found += 1;
            }
        }
        assert!(found > 100, "{found}: does the search still work?");
    }

    #[test]
    fn every_metric_has_a_help_of_its_own_and_stands_once() {
        let all = told();
        assert!(all.len() > 50, "{}", all.len());
        let names: BTreeSet<&str> = all.iter().map(|told| told.name.as_str()).collect();
        assert_eq!(names.len(), all.len(), "a metric is declared in two places");
        for told in &all {
            assert!(!told.help.is_empty() && !told.kind.is_empty(), "{}", told.name);
            assert_eq!(told.kind == "counter", told.name.ends_with("_total"), "{}", told.name);
        }
    }
}
