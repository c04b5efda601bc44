//! Progress of a long compilation: a bar on a terminal, a line per feed anywhere else, on standard error.

use crate::text;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use verdict_intel::FeedReport;
use verdict_tables::Phase;

/// One bar, reused for each feed and phase.
pub struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), on_terminal: std::io::stderr().is_terminal() }
    }

    /// A feed is read; its length is 0 if unknown.
    pub fn begin(&mut self, feed: &str, file_bytes: u64) {
        self.start(file_bytes, "{prefix:32!} {bar:30} {bytes:>11} of {total_bytes:11} {eta:>5}", text::visible(feed.as_bytes()));
    }

    /// So many bytes of the file were read.
    pub fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// A feed was read.
    pub fn end(&self, report: &FeedReport) {
        self.bar.finish_and_clear();
        if !self.on_terminal {
            let name = text::visible(report.name.as_bytes());
            let (rows, kept) = (text::counted(report.counts.rows as usize, "row"), text::grouped(report.counts.kept));
            let _ = writeln!(std::io::stderr(), "read {name}: {rows}, {kept} kept");
        }
    }

    /// The table is built.
    pub fn building(&mut self) -> verdict_tables::Progress {
        if !self.on_terminal {
            let _ = writeln!(std::io::stderr(), "building the snapshot");
        }
        self.start(0, "building: {prefix:22!} {bar:30} {percent:>3} %", String::new());
        let bar = self.bar.clone();
        let mut current = None::<Phase>;
        Box::new(move |phase, done, total| {
            if current != Some(phase) {
                current = Some(phase);
                bar.set_prefix(phase.name());
            }
            bar.set_length(total);
            bar.set_position(done);
        })
    }

    /// Leaves no trace.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn start(&mut self, length: u64, template: &str, prefix: String) {
        if self.on_terminal {
            // The templates above are constant; one that indicatif does not know is shown in its own style.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar = ProgressBar::new(length).with_style(style.progress_chars("=> ")).with_prefix(prefix);
        }
    }
}
