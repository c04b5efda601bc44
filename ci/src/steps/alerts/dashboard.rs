//! The dashboard as Grafana reads it: panels with ids of their own that do not lie upon each other, and every expression in it.

use super::expressions::Expression;
use crate::steps::Complaints;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A panel; what is not named here is for Grafana alone.
#[derive(Debug, Deserialize)]
struct Panel {
    id: u64,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "gridPos")]
    place: Place,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    panels: Vec<Panel>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Place {
    x: u64,
    y: u64,
    w: u64,
    h: u64,
}

impl Place {
    fn is_upon(self, other: Place) -> bool {
        self.x < other.x + other.w && other.x < self.x + self.w && self.y < other.y + other.h && other.y < self.y + self.h
    }
}

#[derive(Debug, Deserialize)]
struct Target {
    #[serde(rename = "refId")]
    name: String,
    expr: Option<String>,
}

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;

/// What was found.
pub struct Board {
    /// Of panels, targets, variables and annotations.
    pub expressions: Vec<Expression>,
    /// What is wrong with it.
    pub complaints: Complaints,
}

impl Board {
    /// From its JSON.
    pub fn read(text: &str) -> Result<Self, String> {
        let board: Value = serde_json::from_str(text).map_err(|error| format!("the dashboard is no JSON: {error}"))?;
        let panels = Vec::<Panel>::deserialize(&board["panels"]).map_err(|error| format!("the dashboard's panels: {error}"))?;
        let all: Vec<&Panel> = panels.iter().flat_map(|panel| [panel].into_iter().chain(&panel.panels)).collect();
        let mut found = Board { expressions: Vec::new(), complaints: Vec::new() };
        found.check_panels(&all);
        for panel in &all {
            found.check_targets(panel);
        }
        for variable in board["templating"]["list"].as_array().into_iter().flatten().filter(|variable| variable["type"] == "query") {
            let (place, query) = (format!("variable {}", variable["name"]), variable["query"]["query"].as_str().unwrap_or_default());
            match selector(query) {
                Some(text) => found.expressions.push(Expression { place, text: text.to_owned() }),
                None => found.complaints.push(format!("{place}: `{query}` is not label_values(series, label)")),
            }
        }
        for note in board["annotations"]["list"].as_array().into_iter().flatten() {
            let place = format!("annotation {}", note["name"]);
            match note["expr"].as_str() {
                Some(text) => found.expressions.push(Expression { place, text: text.to_owned() }),
                None => found.complaints.push(format!("{place}: no expression")),
            }
        }
        Ok(found)
    }

    fn check_panels(&mut self, panels: &[&Panel]) {
        let mut ids = BTreeSet::new();
        for (index, panel) in panels.iter().enumerate() {
            if panel.id == 0 || !ids.insert(panel.id) {
                self.complaints.push(format!("panel `{}`: its id {} is not its own", panel.title, panel.id));
            }
            if panel.title.is_empty() || panel.place.x + panel.place.w > COLUMNS {
                self.complaints.push(format!("panel {} `{}`: without a title, or wider than the grid", panel.id, panel.title));
            }
            for other in panels[..index].iter().filter(|other| other.place.is_upon(panel.place)) {
                self.complaints.push(format!("panels `{}` and `{}` lie upon each other", other.title, panel.title));
            }
        }
        if panels.is_empty() {
            self.complaints.push("the dashboard has no panels".into());
        }
    }

    fn check_targets(&mut self, panel: &Panel) {
        if panel.targets.is_empty() && !["row", "text"].contains(&panel.kind.as_str()) {
            self.complaints.push(format!("panel `{}` shows nothing", panel.title));
        }
        let mut names = BTreeSet::new();
        for target in &panel.targets {
            let place = format!("panel `{}`, {}", panel.title, target.name);
            if !names.insert(&target.name) {
                self.complaints.push(format!("{place} stands twice"));
            }
            match target.expr.as_deref().filter(|text| !text.trim().is_empty()) {
                Some(text) => self.expressions.push(Expression { place, text: text.to_owned() }),
                None => self.complaints.push(format!("{place}: no expression")),
            }
        }
    }

    /// As rules that record, for promtool to parse: JSON, which is YAML too. What Grafana puts in for its own variables is put in here.
    pub fn as_rules(&self) -> String {
        let rules = self.expressions.iter().enumerate().map(|(number, expression)| {
            let text = expression.text.replace("$__rate_interval", "5m").replace("$__range", "1h");
            json!({ "record": format!("dashboard:{number}"), "expr": text })
        });
        json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] }).to_string()
    }
}

/// `label_values(series, label)`.
fn selector(query: &str) -> Option<&str> {
    Some(query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(panels: &Value) -> Board {
        Board::read(&json!({ "panels": panels }).to_string()).unwrap()
    }

    fn panel(id: u64, x: u64, targets: &Value) -> Value {
        json!({ "id": id, "title": format!("p{id}"), "type": "stat", "gridPos": {"x": x, "y": 0, "w": 6, "h": 4}, "targets": targets })
    }

    #[test]
    fn what_is_wrong_with_panels_is_told() {
        let good = json!([{ "refId": "A", "expr": "up" }]);
        assert_eq!(board(&json!([panel(1, 0, &good), panel(2, 6, &good)])).complaints, Complaints::new());
        let check = |panels: &Value, what: &str| {
            let complaints = board(panels).complaints;
            assert!(complaints.len() == 1 && complaints[0].contains(what), "{complaints:?}");
        };
        check(&json!([panel(1, 0, &good), panel(1, 6, &good)]), "not its own");
        check(&json!([panel(1, 0, &good), panel(2, 5, &good)]), "upon each other");
        check(&json!([panel(1, 20, &good)]), "wider");
        check(&json!([panel(1, 0, &json!([]))]), "shows nothing");
        check(&json!([panel(1, 0, &json!([{ "refId": "A", "expr": " " }]))]), "no expression");
        check(&json!([panel(1, 0, &json!([{ "refId": "A", "expr": "a" }, { "refId": "A", "expr": "b" }]))]), "twice");
        check(&json!([]), "no panels");
    }

    #[test]
    fn variables_and_annotations_have_expressions_too() {
        let text = json!({
            "panels": [panel(1, 0, &json!([{ "refId": "A", "expr": "rate(a[$__rate_interval])" }]))],
            "templating": { "list": [{ "type": "query", "name": "v", "query": { "query": "label_values(b{x=\"1,2\"}, job)" } }] },
            "annotations": { "list": [{ "name": "n", "expr": "c" }] },
        });
        let board = Board::read(&text.to_string()).unwrap();
        assert_eq!(
            board.expressions.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
            ["rate(a[$__rate_interval])", "b{x=\"1,2\"}", "c"]
        );
        assert!(board.as_rules().contains("rate(a[5m])"));
    }
}
