//! From what a scan finds to votes in the builder: withheld, taken back, expired, or added.
//!
//! One of these lives as long as its feed is read.

use super::*;

/// Adds the rules of one feed to the builder.
pub(super) struct Adding<'a> {
    pub(super) feed: &'a Feed,
    pub(super) format: Format,
    pub(super) source: u16,
    pub(super) builder: &'a mut Builder,
    pub(super) origins: Option<&'a mut Origins>,
    pub(super) collector: Option<&'a mut Collector>,
    pub(super) number: usize,
    pub(super) as_of_s: u64,
    /// The strictest marking that this deployment may hold.
    pub(super) tlp_max: Option<Tlp>,
    pub(super) lines_before: u64,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) telling: Telling<'a>,
    pub(super) meter: Meter,
    pub(super) file_bytes: u64,
    /// The builder takes no more: the whole compilation fails.
    pub(super) full: Option<Error>,
}

impl Adding<'_> {
    /// The row gives no rule, and takes back what other rows of its feed say of the same, wherever in the feed they stand.
    fn revoke(&mut self, line: u64, rule: Rule<'_>, reference: Option<&[u8]>) -> Result<(), Reason> {
        self.builder.revoke(rule, self.source).map_err(|error| refused(error, &mut self.full))?;
        if let Some(collector) = &mut self.collector {
            collector.revoke(&rule, self.source);
        }
        if let Some(origins) = &mut self.origins {
            origins.push_revocation(self.lines_before + line, reference);
        }
        Err(Reason::Revoked)
    }
}

/// Why the builder did not take a rule: the row's fault, or the end of the compilation.
fn refused(error: Error, full: &mut Option<Error>) -> Reason {
    match error {
        Error::Unreachable(_) => Reason::Unreachable,
        Error::MalformedRule(_) => Reason::RefusedByTables,
        error => {
            full.get_or_insert(error);
            Reason::RefusedByTables
        }
    }
}

impl Visitor for Adding<'_> {
    fn rule(&mut self, line: u64, rule: Rule<'_>, said: &Said, reference: Option<&[u8]>) -> Result<(), Reason> {
        if let (Some(max), Some(tlp)) = (self.tlp_max, model::tlp(self.feed, said))
            && tlp > max
        {
            return Err(Reason::Withheld);
        }
        if said.revoked {
            return self.revoke(line, rule, reference);
        }
        let vote = model::vote_at(self.feed, self.format, self.source, said, self.as_of_s)?;
        self.builder.add(rule, vote).map_err(|error| refused(error, &mut self.full))?;
        if let Some(collector) = &mut self.collector {
            collector.see(&rule, &vote, self.number, self.lines_before + line);
        }
        if let Some(origins) = &mut self.origins {
            origins.push(self.lines_before + line, &vote, reference);
        }
        Ok(())
    }

    fn rejected(&mut self, line: u64, reason: Reason, part: bool, excerpt: &[u8]) {
        self.telling.tell(self.sink, line, reason, part, excerpt);
    }

    fn progress(&mut self) {
        self.sink.progress(&self.feed.name, self.meter.bytes(), self.file_bytes);
    }
}
