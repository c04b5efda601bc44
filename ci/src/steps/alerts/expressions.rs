//! Which metrics an expression of PromQL names, and which expressions, alerts and recorded names a file of rules has.
//!
//! This is no parser: promtool is that. Where it has said yes, a name that is no function, no keyword and no label is a metric.

use crate::steps::Complaints;
use std::collections::BTreeSet;

/// Words that stand where a metric could.
const KEYWORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"];
/// Words before a list of labels.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// One, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// For people.
    pub place: String,
    /// PromQL.
    pub text: String,
}

impl Expression {
    /// The metrics it names.
    pub fn metrics(&self) -> BTreeSet<String> {
        let bare = without_labels(&self.text);
        let mut metrics = BTreeSet::new();
        let mut rest = bare.as_str();
        while let Some(begin) = rest.find(|first: char| first.is_ascii_alphanumeric() || first == '_' || first == ':') {
            let word = &rest[begin..];
            let end =
                word.find(|next: char| !(next.is_ascii_alphanumeric() || next == '_' || next == ':' || next == '.')).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            let after = after.trim_start();
            rest = after;
            if BEFORE_LABELS.contains(&word) {
                // Their list is passed over; `group_left` may stand without one.
                rest = after.strip_prefix('(').map_or(after, |list| list.split_once(')').map_or("", |(_, after)| after));
            } else if !word.starts_with(|first: char| first.is_ascii_digit()) && !KEYWORDS.contains(&word) && !is_called(after) {
                metrics.insert(word.to_owned());
            }
        }
        metrics
    }
}

/// A function, or an aggregation whose labels come first.
fn is_called(after: &str) -> bool {
    after.starts_with('(')
        || ["by", "without"].iter().any(|word| after.strip_prefix(word).is_some_and(|list| list.trim_start().starts_with('(')))
}

/// Without quoted text, then without `{…}` and `[…]`, in which quoted brackets would mislead.
fn without_labels(text: &str) -> String {
    without(&without(text, &[('"', '"'), ('\'', '\'')]), &[('{', '}'), ('[', ']')])
}

fn without(text: &str, pairs: &[(char, char)]) -> String {
    let (mut bare, mut closes) = (String::new(), None);
    for letter in text.chars() {
        match closes {
            None => match pairs.iter().find(|(open, _)| *open == letter) {
                Some((_, close)) => closes = Some(*close),
                None => bare.push(letter),
            },
            Some(close) if letter == close => {
                closes = None;
                bare.push(' ');
            }
            Some(_) => {}
        }
    }
    bare
}

/// What is of interest in a file of rules.
#[derive(Debug, Default)]
pub struct Rules {
    /// Names of alerts.
    pub alerts: Vec<String>,
    /// Names that rules record.
    pub recorded: BTreeSet<String>,
    /// Of alerts and of what is recorded.
    pub expressions: Vec<Expression>,
}

impl Rules {
    /// Reads the YAML that is in use: `- alert: NAME` or `- record: NAME`, then `expr: …` in the line, or folded (`>-`) in deeper lines below it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rules = Rules::default();
        let mut name = "";
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let depth = line.len() - line.trim_start().len();
            if let Some(alert) = line.trim().strip_prefix("- alert: ") {
                rules.alerts.push(alert.to_owned());
                name = alert;
            } else if let Some(record) = line.trim().strip_prefix("- record: ") {
                rules.recorded.insert(record.to_owned());
                name = record;
            } else if let Some(expression) = line.trim().strip_prefix("expr: ") {
                let mut text = expression.to_owned();
                if expression.starts_with(['>', '|']) {
                    text.clear();
                    while let Some(more) = lines.next_if(|more| more.len() - more.trim_start().len() > depth) {
                        text = text + " " + more.trim();
                    }
                }
                rules.expressions.push(Expression { place: name.to_owned(), text });
            }
        }
        let (named, found) = (rules.alerts.len() + rules.recorded.len(), rules.expressions.len());
        if named == 0 || named != found {
            return Err(format!("{named} rules and {found} expressions: the file is not written as it is read here"));
        }
        Ok(rules)
    }

    /// Alerts that the tests expect nowhere.
    pub fn untested(&self, tests: &str) -> Complaints {
        let lines: Vec<&str> = tests.lines().map(str::trim).collect();
        let fires = |alert: &str| {
            let expected = |pair: &[&str]| pair[0].strip_prefix("alertname: ") == Some(alert) && pair[1] == "exp_alerts:";
            lines.windows(2).any(expected)
        };
        self.alerts.iter().filter(|alert| !fires(alert)).map(|alert| format!("{alert}: no test in which it fires")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_functions_labels_and_durations() {
        let check = |text: &str, named: &[&str]| {
            let found = Expression { place: String::new(), text: text.into() }.metrics();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), named, "{text}");
        };
        check("sum by (job, le) (rate(a_total{class=\"b_total\", x=~\"{c}\"}[5m] offset 1d)) / sum(d)", &["a_total", "d"]);
        check("a < on (job) group_left () (max by (job) (a) - 5)", &["a"]);
        check("a * on (job) group_left b", &["a", "b"]);
        check("histogram_quantile(0.99, level:a:p99) > 1e3 and time() - b > 2 * 86400", &["b", "level:a:p99"]);
        check("count(count_values(\"generation\", a))", &["a"]);
        check("sum (a) by (job) unless b", &["a", "b"]);
    }

    #[test]
    fn rules_are_read_in_both_ways_to_write_them() {
        let text = "groups:\n  - name: g\n    rules:\n      - record: r\n        expr: sum(a)\n      - alert: A\n        expr: >-\n          b\n          > 1\n        for: 1m\n";
        let rules = Rules::read(text).unwrap();
        assert_eq!(rules.alerts, ["A"]);
        assert!(rules.recorded.contains("r"));
        assert_eq!(rules.expressions[1], Expression { place: "A".into(), text: " b > 1".into() });
        assert!(Rules::read("- alert: A\n  expression: b\n").unwrap_err().contains("1 rules and 0"));
    }

    #[test]
    fn an_alert_without_a_test_is_named() {
        let rules = Rules::read("- alert: A\n  expr: a\n- alert: B\n  expr: b\n").unwrap();
        let tests = "alertname: A\n  exp_alerts:\n    - x\n- {eval_time: 1m, alertname: B}\n";
        assert_eq!(rules.untested(tests), ["B: no test in which it fires"]);
    }
}
