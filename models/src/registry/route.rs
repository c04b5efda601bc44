//! Which of three hundred models a key meets: a few, found by its kind and top-level domain, then by the scores of those before.
//!
//! ```text
//! kind ──► models without a list of domains │ top-level domain ──► models that name it      merged, in the order of the file
//!          first: [3, 17]                   │ "top" ──► [4, 90]                             ──► at most PER_KEY_MAX
//! logits of 3 ──► models after 3 whose band has the one they look at ──► [5]
//! ```
//! A registry under which a key could meet more than [`PER_KEY_MAX`] models is refused when it is read, so nothing needs to be dropped while asking.
//! Nothing here allocates once a router is made.

use super::{After, Entry, Mode, Registry, Subject};
use std::collections::BTreeMap;
use std::fmt;

/// Models that a key meets at most, later stages of cascades included.
pub const PER_KEY_MAX: usize = 8;

/// Places in `Registry::models`, ascending.
type Places = Vec<u16>;

/// Who is asked about what.
#[derive(Clone, Debug, Default)]
pub struct Router {
    kinds: [Kind; Subject::ALL.len()],
    /// Of each model: what comes after it, with its band and its domains.
    after: Vec<Vec<Later>>,
}

#[derive(Clone, Debug, Default)]
struct Kind {
    /// Asked about every key of the kind.
    all: Places,
    /// Asked about keys of a top-level domain; ascending by it. Those of `all` are in every list already: one look-up finds everything.
    by_tld: Vec<(Box<[u8]>, Places)>,
}

#[derive(Clone, Debug)]
struct Later {
    place: u16,
    head: Option<usize>,
    band: [f32; 2],
    tlds: Vec<Box<[u8]>>,
}

/// A key would meet too many models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// The one too many.
    pub model: usize,
    /// Under which domain; any where it is empty.
    pub tld: String,
    /// How many.
    pub count: usize,
}

impl fmt::Display for Crowd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.tld.is_empty() { "any domain".to_owned() } else { format!("`.{}`", self.tld) };
        write!(formatter, "a key of {domain} could meet {} models, {PER_KEY_MAX} at most: give them gates", self.count)
    }
}

/// Models of one kind, by the domains that they name, while they are gathered.
#[derive(Default)]
struct Met<'r> {
    all: Places,
    by_tld: BTreeMap<&'r str, Places>,
}

impl<'r> Met<'r> {
    fn add(&mut self, place: usize, model: &'r Entry) -> Result<(), Crowd> {
        // A registry has at most `MODELS_MAX`, so a place fits.
        if model.gate.tlds.is_empty() {
            self.all.push(place as u16);
            return crowded("", &self.all);
        }
        for tld in &model.gate.tlds {
            self.by_tld.entry(tld).or_default().push(place as u16);
        }
        Ok(())
    }

    fn kind(mut self, is_first: impl Fn(&u16) -> bool) -> Result<Kind, Crowd> {
        let mut by_tld = Vec::with_capacity(self.by_tld.len());
        for (tld, mut places) in self.by_tld {
            places.extend(&self.all);
            places.sort_unstable();
            crowded(tld, &places)?;
            places.retain(&is_first);
            by_tld.push((tld.as_bytes().into(), places));
        }
        self.all.retain(is_first);
        Ok(Kind { all: self.all, by_tld })
    }
}

fn crowded(tld: &str, places: &[u16]) -> Result<(), Crowd> {
    match places.get(PER_KEY_MAX) {
        Some(&model) => Err(Crowd { model: model.into(), tld: tld.to_owned(), count: places.len() }),
        None => Ok(()),
    }
}

impl Router {
    /// Of the models that are not off.
    pub fn new(registry: &Registry) -> Result<Self, Crowd> {
        Self::of(registry, |model| registry.models[model].mode != Mode::Off)
    }

    /// Of those models, by their places, that `is_on` says.
    pub fn of(registry: &Registry, is_on: impl Fn(usize) -> bool) -> Result<Self, Crowd> {
        let mut router = Self { after: vec![Vec::new(); registry.models.len()], ..Self::default() };
        for subject in Subject::ALL {
            let on = |(place, model): &(usize, &Entry)| model.subject == subject && is_on(*place);
            let mut met = Met::default();
            for (place, model) in registry.models.iter().enumerate().filter(on) {
                met.add(place, model)?;
                if let Some(After { place: before, head, band }) = model.gate.after {
                    let tlds = model.gate.tlds.iter().map(|tld| tld.as_bytes().into()).collect();
                    router.after[before].push(Later { place: place as u16, head, band, tlds });
                }
            }
            let is_first = |place: &u16| registry.models[usize::from(*place)].gate.after.is_none();
            router.kinds[subject as usize] = met.kind(is_first)?;
        }
        Ok(router)
    }

    /// The models that are asked first. `tld` is the last label of the host, without dots; empty for an address or a file.
    pub fn first(&self, subject: Subject, tld: &[u8]) -> &[u16] {
        let kind = &self.kinds[subject as usize];
        match kind.by_tld.binary_search_by(|(known, _)| known.as_ref().cmp(tld)) {
            Ok(found) => &kind.by_tld[found].1,
            Err(_) => &kind.all,
        }
    }

    /// The models that are asked after one that gave these logits.
    pub fn after(&self, model: u16, logits: &[f32], tld: &[u8]) -> impl Iterator<Item = u16> {
        let later = self.after.get(usize::from(model)).map(Vec::as_slice).unwrap_or_default();
        let wanted = move |later: &&Later| {
            later.is_within(logits) && (later.tlds.is_empty() || later.tlds.iter().any(|known| known.as_ref() == tld))
        };
        later.iter().filter(wanted).map(|later| later.place)
    }
}

impl Later {
    /// A logit that is missing or no number lies in no band.
    fn is_within(&self, logits: &[f32]) -> bool {
        let logit = match self.head {
            Some(head) => logits.get(head).copied(),
            None => logits.iter().copied().reduce(f32::max),
        };
        logit.is_some_and(|logit| (self.band[0]..=self.band[1]).contains(&logit))
    }
}

/// The last label of a canonical host; empty for an address.
pub fn tld(host: &[u8]) -> &[u8] {
    let label = host.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    // No top-level domain is a number or ends an IPv6 address.
    if label.iter().all(u8::is_ascii_digit) || label.ends_with(b"]") { &[] } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Spec;
    use crate::registry::{Features, Gate, Provenance, Source};

    fn entry(subject: Subject, tlds: &[&str], after: Option<(usize, [f32; 2])>) -> Entry {
        Entry {
            name: "m".into(),
            version: 1,
            file: "m.onnx".into(),
            sha256: [0; 32],
            subject,
            features: Features { name: "f".into(), source: Source::Text(Spec::NONE) },
            mode: Mode::Enforce,
            cpu_share: 1000,
            expires_s: u64::MAX,
            gate: Gate {
                tlds: tlds.iter().map(|tld| (*tld).to_owned()).collect(),
                after: after.map(|(place, band)| After { place, head: None, band }),
            },
            heads: Vec::new(),
            provenance: Provenance::default(),
            line: 1,
        }
    }

    /// One first stage for all URLs, its second stage, one for hosts, and a model for each of 297 domains.
    fn three_hundred() -> Registry {
        let mut models =
            vec![entry(Subject::Url, &[], None), entry(Subject::Url, &[], Some((0, [-1.0, 5.0]))), entry(Subject::Host, &[], None)];
        models.extend((0..297).map(|number| entry(Subject::Url, &[&format!("zone{number}")], None)));
        Registry { sequence: 1, models, popular: None }
    }

    #[test]
    fn of_three_hundred_models_a_key_meets_few() {
        let registry = three_hundred();
        let router = Router::new(&registry).unwrap();
        assert_eq!(registry.models.len(), 300);
        assert_eq!(router.first(Subject::Url, b"test"), [0]);
        assert_eq!(router.first(Subject::Url, b""), [0], "an address");
        assert_eq!(router.first(Subject::Host, b"zone7"), [2]);
        assert_eq!(router.first(Subject::File, b""), [0u16; 0]);
        for number in 0..297u16 {
            assert_eq!(router.first(Subject::Url, format!("zone{number}").as_bytes()), [0, 3 + number]);
        }
    }

    #[test]
    fn a_later_stage_is_asked_in_its_band_only() {
        let router = Router::new(&three_hundred()).unwrap();
        let after = |logits: &[f32]| router.after(0, logits, b"test").collect::<Vec<_>>();
        assert_eq!([after(&[-1.01]), after(&[-1.0]), after(&[5.0]), after(&[5.01])], [vec![], vec![1], vec![1], vec![]]);
        assert_eq!([after(&[-9.0, 4.0]), after(&[4.0, 6.0])], [vec![1], vec![]], "the largest of its logits counts");
        assert_eq!([after(&[]), after(&[f32::NAN])], [Vec::<u16>::new(), vec![]]);
        assert_eq!(router.after(9, &[0.0], b"test").count(), 0);
    }

    #[test]
    fn a_later_stage_may_look_at_one_of_the_logits() {
        let mut registry = three_hundred();
        registry.models[1].gate.after = Some(After { place: 0, head: Some(1), band: [0.0, 1.0] });
        let router = Router::new(&registry).unwrap();
        assert_eq!(router.after(0, &[9.0, 0.5], b"test").collect::<Vec<_>>(), [1]);
        assert_eq!(router.after(0, &[0.5, 9.0], b"test").count(), 0);
        assert_eq!(router.after(0, &[0.5], b"test").count(), 0);
    }

    #[test]
    fn a_later_stage_may_have_domains_of_its_own() {
        let models = vec![entry(Subject::Url, &[], None), entry(Subject::Url, &["top"], Some((0, [f32::NEG_INFINITY, f32::INFINITY])))];
        let router = Router::new(&Registry { sequence: 1, models, popular: None }).unwrap();
        assert_eq!(router.after(0, &[1.0], b"top").collect::<Vec<_>>(), [1]);
        assert_eq!(router.after(0, &[1.0], b"test").count(), 0);
    }

    #[test]
    fn what_is_off_meets_nobody() {
        let mut registry = three_hundred();
        for model in &mut registry.models {
            model.mode = Mode::Off;
        }
        let router = Router::new(&registry).unwrap();
        assert_eq!(router.first(Subject::Url, b"zone7"), [0u16; 0]);
        assert_eq!(router.after(0, &[0.0], b"test").count(), 0);
    }

    #[test]
    fn a_crowd_is_refused_and_named() {
        let models = (0..9).map(|number| entry(Subject::Url, if number < 3 { &[] } else { &["top"] }, None)).collect();
        let crowd = Router::new(&Registry { sequence: 1, models, popular: None }).unwrap_err();
        assert_eq!(crowd.to_string(), "a key of `.top` could meet 9 models, 8 at most: give them gates");
        assert_eq!(crowd.model, 8);
    }

    #[test]
    fn the_last_label_is_the_domain() {
        for (host, expected) in
            [("a.example.test", "test"), ("test", "test"), ("192.0.2.1", ""), ("[2001:db8::1]", ""), ("[::ffff:a.b]", "")]
        {
            assert_eq!(tld(host.as_bytes()), expected.as_bytes(), "{host}");
        }
    }
}
