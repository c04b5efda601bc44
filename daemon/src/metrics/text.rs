//! The two forms of a scrape, by what the scraper says it takes.
//!
//! | `Accept` has | form |
//! |---|---|
//! | `application/openmetrics-text` | OpenMetrics 1.0: `# TYPE verdictd_frames counter`, `verdictd_frames_total 5`, `# EOF` |
//! | anything else, or nothing | Prometheus' text 0.0.4: `# TYPE verdictd_frames_total counter`, `verdictd_frames_total 5` |
//!
//! The samples are the same, so a change of the scraper changes no series.

/// What a scrape is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Form {
    /// What to answer to this `Accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Form::OpenMetrics } else { Form::Text }
    }

    /// Of the reply.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics as our encoder writes it, in the older form.
pub fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 2048);
    let mut help = "";
    for line in open_metrics.lines() {
        // HELP stands before TYPE, and only TYPE tells whether the name is a counter's.
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let told = help.split_once(' ').map_or("", |(_, told)| told);
            text += &format!("# HELP {name}{suffix} {told}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_counters_differ() {
        let open = "# HELP a_b What is counted.\n# TYPE a_b counter\na_b_total{x=\"y\"} 5\n# HELP c_seconds Since when.\n# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 1\n# EOF\n";
        let text = "# HELP a_b_total What is counted.\n# TYPE a_b_total counter\na_b_total{x=\"y\"} 5\n# HELP c_seconds Since when.\n# TYPE c_seconds gauge\nc_seconds 1\n";
        assert_eq!(to_text(open), text);
    }

    #[test]
    fn the_newer_form_is_for_those_who_ask_for_it() {
        assert_eq!(Form::accepted("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4"), Form::OpenMetrics);
        for accept in ["", "*/*", "text/plain;version=0.0.4", "text/html"] {
            assert_eq!(Form::accepted(accept), Form::Text, "{accept}");
        }
    }
}
