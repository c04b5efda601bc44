//! What int8 finds of an operator's own labelled rows, beside what the float model finds of them.
//!
//! ```text
//! {"text": "http://example.test/a", "label": "phishing"}      label: a head of the model, or benign; with one head malicious will do
//! {"fields": {"e_lfanew": 128, …}, "label": "benign"}         of files, by the names of the trees
//!
//! rate 0.001 ─► threshold: a thousandth of the benign rows lies above, of each model its own ─► share of the malicious rows above it
//! ```
//! A text is read as the daemon reads it, so URLs may be as people have them. Rows are scored in batches: what is kept of one is its logits.

use super::Refused;
use super::oracle::{Sessions, native, run};
use crate::error::{Fault, Refusal};
use crate::features::{Rows, extract};
use crate::native::{BATCH_MAX, Scorer};
use crate::registry::Subject;
use crate::trees::{TREES_MAX, Trees, UNKNOWN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use verdict_keys::Canonicalizer;
use verdict_simd::Backend;

/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 32 << 20;
/// Rows at most: the float model takes a fifth of a millisecond for each.
pub const ROWS_MAX: usize = 1 << 16;
/// What int8 may find less, as a share of the malicious rows.
pub const LOSS_MAX: f64 = 0.002;
/// Malicious rows from which on one of them is not more than that.
pub const JUDGED_FROM: u64 = 500;

/// Of one head, at one rate of false positives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Its name.
    pub head: String,
    /// Rows of the label `benign`.
    pub benign: u64,
    /// Rows of the head's label.
    pub malicious: u64,
    /// Rate of false positives.
    pub fpr: f64,
    /// Share of the malicious rows that int8 finds.
    pub int8: f64,
    /// The same of the float model, if it was here.
    pub float: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    text: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, i64>,
    label: String,
}

/// How rows become numbers, and what their labels may be.
pub struct Reading<'m> {
    /// What the model is asked about.
    pub subject: Subject,
    /// Where a file's fields lead.
    pub trees: Option<&'m Trees>,
    /// Names of the logits.
    pub heads: &'m [String],
}

/// Labels are places of heads; benign where there is none.
#[derive(Default)]
struct Scored {
    labels: Vec<Option<usize>>,
    int8: Vec<f32>,
    float: Vec<f32>,
}

/// What is found of the rows of a file; in `left_out` what could not be judged.
pub fn detections<B: Backend>(
    backend: B,
    bytes: &[u8],
    reading: &Reading<'_>,
    scorer: &mut Scorer,
    sessions: &mut Sessions,
    fpr: f64,
    left_out: &mut Vec<String>,
) -> Result<Vec<Detection>, Refused> {
    let mut scored = Scored::default();
    let (mut bags, mut first) = (Vec::new(), 1);
    let mut canonicalizer = Canonicalizer::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let refuse = |fault, why: String| Refusal::new(fault, format!("labelled rows, line {}", index + 1), why);
        if scored.labels.len() == ROWS_MAX {
            return Err(refuse(Fault::TooLarge, format!("more than {ROWS_MAX} rows")).into());
        }
        let row: Row = serde_json::from_slice(line).map_err(|error| refuse(Fault::Malformed, error.to_string()))?;
        scored.labels.push(reading.label(&row.label).map_err(|why| refuse(Fault::Malformed, why))?);
        bags.push(reading.rows(&row, scorer, &mut canonicalizer).map_err(|why| refuse(Fault::Malformed, why))?);
        if bags.len() == BATCH_MAX {
            scored.score(backend, &bags, scorer, sessions, first)?;
            bags.clear();
            first = scored.labels.len() + 1;
        }
    }
    if !bags.is_empty() {
        scored.score(backend, &bags, scorer, sessions, first)?;
    }
    Ok(scored.detections(reading.heads, fpr, left_out))
}

impl Reading<'_> {
    fn label(&self, label: &str) -> Result<Option<usize>, String> {
        match self.heads.iter().position(|head| head == label) {
            Some(head) => Ok(Some(head)),
            None if label == "benign" => Ok(None),
            None if label == "malicious" && self.heads.len() == 1 => Ok(Some(0)),
            None => Err(format!("the label `{}` is neither benign nor one of {}", label.escape_debug(), self.heads.join(", "))),
        }
    }

    fn rows(&self, row: &Row, scorer: &Scorer, canonicalizer: &mut Canonicalizer) -> Result<Vec<u32>, String> {
        match (row, self.trees) {
            (Row { text: None, fields, .. }, Some(trees)) => {
                if let Some(name) = fields.keys().find(|name| !trees.fields().contains(name)) {
                    return Err(format!("`{}` is no field of the trees", name.escape_debug()));
                }
                let values: Vec<i64> = trees.fields().iter().map(|name| fields.get(name).copied().unwrap_or(UNKNOWN)).collect();
                Ok(trees.rows(&values, &mut [0; TREES_MAX]).to_vec())
            }
            (Row { text: Some(text), .. }, None) if row.fields.is_empty() => {
                let mut rows = Box::<Rows>::default();
                let unread = || "a text that the daemon cannot read as a key of this kind".to_owned();
                if self.subject == Subject::Host {
                    let (_, host) = canonicalizer.host(text.as_bytes()).map_err(|_| unread())?;
                    extract(scorer.spec(), host.as_bytes(), &[], &mut rows);
                } else {
                    let url = canonicalizer.url(text.as_bytes()).map_err(|_| unread())?;
                    let rest = url.path_query.as_bytes();
                    extract(scorer.spec(), url.host_text.as_bytes(), rest.strip_prefix(b"/").unwrap_or(rest), &mut rows);
                }
                Ok(rows.as_slice().to_vec())
            }
            (_, None) => Err("a row of this model has a `text` and a `label`".to_owned()),
            (_, Some(_)) => Err("a row of this model has `fields` and a `label`".to_owned()),
        }
    }
}

impl Scored {
    fn score<B: Backend>(
        &mut self,
        backend: B,
        bags: &[Vec<u32>],
        scorer: &mut Scorer,
        sessions: &mut Sessions,
        first: usize,
    ) -> Result<(), Refusal> {
        let bags: Vec<&[u32]> = bags.iter().map(Vec::as_slice).collect();
        let heads = scorer.evaluator().heads();
        self.int8.extend(native(backend, scorer, &bags));
        if let Some(session) = &mut sessions.float {
            let before = self.float.len();
            run(session, &bags, &mut Vec::new(), &mut self.float)?;
            if let Some(at) = self.float[before..].iter().position(|logit| !logit.is_finite()) {
                let place = format!("labelled row {} of the float model", first + at / heads);
                return Err(Refusal::new(Fault::Wrong, place, "its logit is no number"));
            }
            if self.float.len() != self.int8.len() {
                return Err(Refusal::new(Fault::Wrong, "the float model", "it has another number of logits"));
            }
        }
        Ok(())
    }

    fn detections(&self, heads: &[String], fpr: f64, left_out: &mut Vec<String>) -> Vec<Detection> {
        let benign = self.labels.iter().filter(|label| label.is_none()).count();
        let allowed = (benign as f64 * fpr) as usize;
        let mut found = Vec::new();
        for (head, name) in heads.iter().enumerate() {
            let malicious = self.labels.iter().filter(|&&label| label == Some(head)).count();
            if allowed == 0 || malicious == 0 {
                left_out
                    .push(format!("detection of {name}: {benign} benign and {malicious} malicious rows do not tell it at a rate of {fpr}"));
                continue;
            }
            let share = |logits: &[f32]| share(&self.labels, logits, heads.len(), head, allowed);
            let float = (!self.float.is_empty()).then(|| share(&self.float));
            if malicious < JUDGED_FROM as usize {
                left_out.push(format!("whether int8 finds as much {name} as float: of {malicious} rows, one is more than {LOSS_MAX}"));
            } else if float.is_none() {
                left_out.push(format!("whether int8 finds as much {name} as float: the float model did not run (--against, --runtime)"));
            }
            found.push(Detection {
                head: name.clone(),
                benign: benign as u64,
                malicious: malicious as u64,
                fpr,
                int8: share(&self.int8),
                float,
            });
        }
        found
    }
}

/// The share of a head's rows above the threshold that `allowed` of the benign rows exceed.
fn share(labels: &[Option<usize>], logits: &[f32], heads: usize, head: usize, allowed: usize) -> f64 {
    let of = |wanted: Option<usize>| {
        labels.iter().enumerate().filter(move |&(_, &label)| label == wanted).map(|(row, _)| logits[row * heads + head])
    };
    let mut benign: Vec<f32> = of(None).collect();
    benign.sort_unstable_by(|a, b| b.total_cmp(a));
    let Some(&threshold) = benign.get(allowed) else { return 0.0 };
    let (above, all) = of(Some(head)).fold((0u64, 0u64), |(above, all), logit| (above + u64::from(logit > threshold), all + 1));
    above as f64 / all.max(1) as f64
}

impl Detection {
    /// Why int8 is refused.
    pub fn worse(&self) -> Option<Refusal> {
        // Shares of whole rows: what is far less than one of them is rounding.
        let float = self.float.filter(|float| self.malicious >= JUDGED_FROM && float - self.int8 > LOSS_MAX + 1e-9)?;
        let Self { head, fpr, int8, .. } = self;
        let why = format!("int8 finds {:.2} % at a rate of {fpr}, float {:.2} %: more than 0.2 points less", 100.0 * int8, 100.0 * float);
        Some(Refusal::new(Fault::Worse, format!("detection of {head}"), why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2,000 benign rows with logits 0 to 1,999, and 1,000 malicious ones of which `above` have 5,000 and the others nothing.
    fn scored(above_int8: usize, above_float: usize) -> Scored {
        let labels = [vec![None; 2000], vec![Some(0); 1000]].concat();
        let logits = |above: usize| {
            let benign = (0..2000).map(|logit| logit as f32);
            benign.chain((0..1000).map(|row| if row < above { 5000.0 } else { 0.0 })).collect::<Vec<_>>()
        };
        Scored { labels, int8: logits(above_int8), float: logits(above_float) }
    }

    fn worse(int8: usize, float: usize) -> bool {
        let found = scored(int8, float).detections(&["bad".to_owned()], 0.001, &mut Vec::new());
        assert_eq!((found[0].int8, found[0].float), (int8 as f64 / 1000.0, Some(float as f64 / 1000.0)));
        found[0].worse().is_some()
    }

    #[test]
    fn more_than_two_rows_of_a_thousand_less_is_worse() {
        assert_eq!([worse(900, 900), worse(898, 900), worse(897, 900), worse(950, 900)], [false, false, true, false]);
    }

    #[test]
    fn the_threshold_is_that_of_the_rate() {
        let labels = [vec![None; 1000], vec![Some(0); 4]].concat();
        let logits: Vec<f32> = (0..1000).map(|logit| logit as f32).chain([997.5, 998.5, 999.5, 989.5]).collect();
        assert_eq!(share(&labels, &logits, 1, 0, 1), 0.5, "one of a thousand lies above 998");
        assert_eq!(share(&labels, &logits, 1, 0, 10), 1.0);
    }

    #[test]
    fn too_few_rows_are_left_out_and_said_to_be() {
        let mut left_out = Vec::new();
        let mut few = scored(900, 900);
        few.labels.truncate(2000);
        assert_eq!(few.detections(&["bad".to_owned()], 0.001, &mut left_out), []);
        assert_eq!(left_out, ["detection of bad: 2000 benign and 0 malicious rows do not tell it at a rate of 0.001"]);
        assert_eq!(scored(9, 9).detections(&["bad".to_owned()], 0.0001, &mut left_out), []);
    }
}
