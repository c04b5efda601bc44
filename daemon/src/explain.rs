//! EXPLAIN: one key, by the very canonicaliser, probes and precedence that answer LOOKUP, told in full.
//!
//! It is for people, so it may allocate, and that is why it is kept apart from the batch of the turn: a shard explains at most one key a turn
//! (`EXPLAINS_PER_TURN_MAX`), whichever connection asks; the frame of the next one waits in its connection, which goes to the end of the queue.
//! So lookups of other connections wait for one explanation a turn, however many are asked for: 12 to 14 µs of it on a table of 3 million rules, where a lookup takes 0.2 to 0.5 (x86-64, busy machine).

use crate::inline::Inline;
use crate::overlay::table::Overlay;
use crate::pipeline::kind_of;
use std::net::{Ipv4Addr, Ipv6Addr};
use verdict_keys::{Address, Batch, CanonicalUrl, Canonicalizer, Expressions, Host, Kind, Profile};
use verdict_simd::Backend;
use verdict_tables::{Asked, Match, On, Scratch, Snapshot};
use verdict_wire as wire;
use wire::{HostAsked, MatchFlags, MatchOn, RuleMatch, Status};

/// Appends the EXPLANATION of one key.
#[expect(clippy::too_many_arguments, reason = "each is a part of what an answer is made of, and there is one caller")]
pub fn explain<B: Backend>(
    backend: B,
    snapshot: &Snapshot,
    (overlay, monitor): (Option<&Overlay>, bool),
    models: Option<&mut Inline>,
    id: u32,
    kind: u8,
    key: &[u8],
    output: &mut Vec<u8>,
) {
    let mut explanation = blank(snapshot.generation());
    let Some(kind) = kind_of(kind) else {
        explanation.status = Status::Unsupported.raw();
        explanation.reason = "keys of that kind are not known here";
        return wire::encode_explanation(output, id, &explanation);
    };
    let (mut batch, mut scratch) = (Batch::with_capacity(1), Scratch::default());
    batch.keep_texts(snapshot.reads_texts());
    batch.keep_spellings(models.is_some());
    batch.push(backend, snapshot.schedule(), snapshot.profile(), kind, key);
    if let Some(reason) = batch.reason(0) {
        explanation.status = Status::Unparseable.raw();
        let reason = reason.to_string();
        return wire::encode_explanation(output, id, &wire::Explanation { reason: &reason, ..explanation });
    }
    let text = Text::new(snapshot.profile(), kind, key, batch.items()[0].address);
    let asked = verdict_tables::asked(backend, snapshot, &batch, 0, &mut scratch);
    let hosts: Vec<HostAsked> = text.hosts.iter().zip(&asked).map(host_asked).collect();
    let mut found = verdict_tables::matches(backend, snapshot, &batch, 0, &mut scratch);
    // What operators say stands before all rules; the reason tells who, when and why.
    let mut reason = String::new();
    if let Some(overlay) = overlay {
        let hits = overlay.matches(backend, snapshot.schedule(), &batch, 0);
        reason = hits.first().map_or(String::new(), |hit| overlay.entry(hit).to_string());
        found.splice(0..0, hits.iter().map(|hit| Match { verdict: overlay.entry(hit).verdict(), on: hit.on, off: false }));
    }
    if monitor {
        let rest = std::mem::take(&mut reason);
        reason = format!("enforcement is switched off: every answer is unknown\n{rest}");
    }
    // What is said by a rule or an operator is asked of no model.
    if let (Some(models), true, Some(text)) = (models, found.iter().all(|found| found.off), batch.spellings().get(0)) {
        models.tell(backend, &text, &mut reason);
    }
    let matches: Vec<RuleMatch> =
        found.iter().enumerate().map(|(place, found)| rule_match(place == 0 && !found.off, found, &text)).collect();
    explanation.canonical = &text.canonical;
    explanation.path_at = text.path_at;
    explanation.hosts = &hosts;
    explanation.path_ends = &text.path_ends;
    explanation.paths_exact = text.paths_exact;
    explanation.matches = &matches;
    explanation.reason = &reason;
    wire::encode_explanation(output, id, &explanation);
}

/// Of nothing yet.
fn blank<'a>(generation: u64) -> wire::Explanation<'a> {
    wire::Explanation {
        generation,
        status: Status::Ok.raw(),
        flags: 0,
        canonical: "",
        path_at: 0,
        hosts: &[],
        path_ends: &[],
        paths_exact: 0,
        reason: "",
        matches: &[],
    }
}

/// The canonical text of a key, and its expressions as places in it.
#[derive(Default)]
struct Text {
    canonical: String,
    path_at: u16,
    hosts: Vec<u16>,
    path_ends: Vec<[u8; 2]>,
    paths_exact: u8,
}

impl Text {
    /// Of a key that is one: canonical text is at most `URL_BYTES_MAX` and a scheme long, so places fit into 16 bits.
    fn new(profile: &Profile, kind: Kind, key: &[u8], address: Address) -> Self {
        let mut canonicalizer = Canonicalizer::new();
        match kind {
            Kind::Url => canonicalizer.url(key).map(|url| Self::of_url(url.to_string(), &url, profile)).unwrap_or_default(),
            Kind::Host => {
                let text = |(host, host_text)| Self::of_host(host, host_text, profile);
                canonicalizer.host(key).map(text).unwrap_or_default()
            }
            Kind::Ipv4 | Kind::Ipv6 => match address {
                Address::V4(address) => Self::plain(Ipv4Addr::from_bits(address).to_string()),
                Address::V6(address) => Self::plain(Ipv6Addr::from_bits(address).to_string()),
                Address::None => Self::default(),
            },
            Kind::Sha256 | Kind::Sha1 | Kind::Md5 => Self::plain(key.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }

    fn plain(canonical: String) -> Self {
        Self { path_at: canonical.len() as u16, canonical, ..Self::default() }
    }

    fn of_host(host: Host<'_>, host_text: &str, profile: &Profile) -> Self {
        let end = host_text.len();
        let url = CanonicalUrl { host, host_text, path_query: "/", path_bytes: 1 };
        let hosts = Expressions::new(&url, profile).hosts.iter().map(|host| (end - host.len()) as u16).collect();
        Self { hosts, ..Self::plain(host_text.to_owned()) }
    }

    fn of_url(canonical: String, url: &CanonicalUrl<'_>, profile: &Profile) -> Self {
        let path_at = canonical.len() - url.path_query.len();
        let Expressions { hosts, paths, full_paths } = Expressions::new(url, profile);
        Self {
            hosts: hosts.iter().map(|host| (path_at - host.len()) as u16).collect(),
            path_ends: paths.iter().map(|path| ((path_at + path.len()) as u16).to_le_bytes()).collect(),
            paths_exact: full_paths as u8,
            path_at: path_at as u16,
            canonical,
        }
    }
}

fn host_asked((at, asked): (&u16, &Asked)) -> HostAsked {
    HostAsked { at: at.to_le_bytes(), paths_asked: asked.paths as u8, listed: asked.listed.into() }
}

fn rule_match(wins: bool, found: &Match, text: &Text) -> RuleMatch {
    let mut told = RuleMatch { answer: bytemuck::cast(found.verdict), ..RuleMatch::default() };
    let own_flag = |own: bool| if own { MatchFlags::OWN } else { MatchFlags::NONE };
    let mut flags = if wins { MatchFlags::WINS } else { MatchFlags::NONE };
    flags = flags.with(if found.off { MatchFlags::OFF } else { MatchFlags::NONE });
    let on = match found.on {
        On::Host { host, own } => {
            told.host = host;
            flags = flags.with(own_flag(own));
            MatchOn::Host
        }
        On::Url { host, path, prefix, own } => {
            (told.host, told.path) = (host, path);
            flags = flags.with(own_flag(own)).with(if prefix { MatchFlags::PREFIX } else { MatchFlags::NONE });
            MatchOn::Url
        }
        On::Network { first, last } => {
            (told.first, told.last) = (RuleMatch::octets(first), RuleMatch::octets(last));
            MatchOn::Network
        }
        On::Key => MatchOn::Key,
        On::Signature { at, bytes, .. } => {
            // Signatures count from the host's first byte, the canonical text of a URL has a scheme before it.
            let at = text.hosts.first().copied().unwrap_or(0) + at as u16;
            (told.at, told.bytes) = (at.to_le_bytes(), bytes.to_le_bytes());
            MatchOn::Signature
        }
    };
    RuleMatch { on: on.raw(), flags: flags.0, ..told }
}
