//! Any bytes as a registry, a list of popular names, a manifest of a model, or golden vectors: refused with a place and a reason that fits a line, or
//! taken, and then as sound as whoever uses it relies on. Shared with models/tests/models/texts.rs, which replays the corpora.
#![allow(dead_code, reason = "each target uses one of these")]

use verdict_models::card::Card;
use verdict_models::features::Spec;
use verdict_models::golden;
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::onnx::Model;
use verdict_models::registry::{self, MistakeAt, PER_KEY_MAX, Popular, Registry, Router, Says, Subject};

const CATEGORIES: [&str; 3] = ["malware", "phishing", "c2"];

fn told(mistake: MistakeAt, bytes: &[u8]) -> String {
    assert!((1..=1 + bytes.iter().filter(|&&byte| byte == b'\n').count()).contains(&mistake.line), "{mistake}");
    let told = mistake.to_string();
    assert!(!mistake.what.is_empty() && told.len() < 1000, "{told}");
    mistake.what
}

fn short(refusal: verdict_models::Refusal) -> String {
    assert!(!refusal.why.is_empty() && refusal.to_string().len() < 1000, "{refusal}");
    refusal.why
}

/// As a registry.
pub fn registry_any(bytes: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let registry = registry::parse(text, &CATEGORIES).map_err(|mistake| told(mistake, bytes))?;
    let router = Router::new(&registry).expect("a crowd is refused when it is read");
    for (place, model) in registry.models.iter().enumerate() {
        assert!((1..=8).contains(&model.heads.len()) && model.line <= 1 + bytes.len());
        assert!(model.gate.after.is_none_or(|after| after.place < place && after.band[0] <= after.band[1]));
        for logits in [&[][..], &[f32::NAN; 8], &[-1000.0; 8], &[1000.0; 8], &[5.0, 12.0, -1.0]] {
            let word = model.word(logits, 3.0);
            let head = &model.heads[usize::from(word.head)];
            assert!(word.score <= 100 && (word.says < Says::Malicious || head.malicious.is_some()));
            assert!(word.says == Says::Nothing || head.suspicious.is_some() && head.categories != 0);
            router.after(place as u16, logits, b"top").for_each(|later| assert!(usize::from(later) > place));
        }
    }
    few(&registry, &router);
    Ok(())
}

/// No key meets more models than it may.
fn few(registry: &Registry, router: &Router) {
    let named = registry.models.iter().flat_map(|model| &model.gate.tlds).map(String::as_str);
    for tld in named.chain(["", "top", "test"]) {
        for subject in Subject::ALL {
            let mut met = router.first(subject, tld.as_bytes()).to_vec();
            let mut at = 0;
            while let Some(&place) = met.get(at) {
                // Whatever their bands: as if each were reached.
                met.extend(registry.models.iter().enumerate().filter_map(|(later, model)| {
                    let after = model.gate.after.filter(|after| after.place == usize::from(place))?;
                    let is_asked = router.after(place, &[after.band[0]; 8], tld.as_bytes()).any(|asked| usize::from(asked) == later);
                    is_asked.then_some(later as u16)
                }));
                at += 1;
            }
            assert!(met.len() <= PER_KEY_MAX, "{met:?}");
        }
    }
}

/// As a list of popular names.
pub fn popular_any(bytes: &[u8]) -> Result<(), String> {
    let list = Popular::read(bytes).map_err(|mistake| told(mistake, bytes))?;
    for name in bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let is_below = |name: &[u8]| name.len() > 251 || list.covers(&[b"w.", name].concat());
        assert!(name.is_empty() || name[0] == b'#' || list.covers(name) && is_below(name));
    }
    assert!(!list.covers(b"192.0.2.1") && !list.covers(b"[2001:db8::1]") && !list.covers(b""));
    Ok(())
}

/// As a manifest.
pub fn card_any(bytes: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let card = Card::read(text).map_err(short)?;
    assert!(card.thresholds.iter().all(|logit| logit.is_finite()));
    card.spec().map_err(short).map(|spec| assert!(spec.is_none_or(|spec| spec.rows() == card.rows)))
}

/// As golden vectors, held against a small model.
pub fn golden_any(bytes: &[u8]) -> Result<(), String> {
    let vectors = golden::read(bytes).map_err(short)?;
    let model = Model::read(include_bytes!("../corpus/model/good-rows")).expect("a good one");
    let spec = Spec::new(8, &[3], &[3]);
    let mut scorer = Scorer::new(Evaluator::new(&model).expect("a good one").into(), spec.expect("within limits")).expect("as many rows");
    golden::check(verdict_simd::detect().expect("a backend that is named is here"), &vectors, spec, &mut scorer).map_err(short).map(drop)
}
