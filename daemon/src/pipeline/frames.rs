//! The binary protocol in a turn: frames become keys in the batch; what needs no lookup is answered at once.

use super::{Pending, Pipeline, Reply, Taken, Turn, kind_of};
use crate::driver::Output;
use crate::edge::guard::peer::Permission;
use crate::inline::served::Served;
use crate::limits::EXPLAINS_PER_TURN_MAX;
use crate::metrics::ShardMetrics;
use verdict_keys::Kind;
use verdict_simd::{Backend, Key128};
use verdict_tables::{RuleKind, Snapshot};
use verdict_wire as wire;
use wire::{Answer, Frames, Request, Status};

/// Requests that a client may leave unanswered; past `limits.out_bytes_max` of answers the shard stops reading, whatever their number.
const REQUESTS_IN_FLIGHT_MAX: u32 = 1024;

impl<B: Backend> Pipeline<B> {
    /// Takes the whole frames at the start of `input`. `late`: they waited too long, so lookups are answered *overloaded* at once.
    pub(super) fn take_frames(&mut self, turn: &Turn<'_>, connection: u32, input: &[u8], output: &mut Output, late: bool) -> Taken {
        let mut taken = Taken::default();
        self.begin(turn);
        let mut frames = Frames::within(input, turn.limits.frame_bytes_max);
        let Output { bytes: output, sent, flying } = output;
        loop {
            if output.len() - *sent + *flying > turn.limits.out_bytes_max || self.is_full() {
                let rest = &input[taken.consumed..];
                taken.more = rest.len() >= wire::bytes_wanted(rest);
                return taken;
            }
            let Some(frame) = frames.next() else { return taken };
            let at = output.len();
            match frame {
                Ok(frame) => {
                    let request = frame.request();
                    if matches!(request, Ok(Request::Explain { .. })) && !late && self.explained.0 == EXPLAINS_PER_TURN_MAX {
                        taken.more = true;
                        return taken;
                    }
                    match request {
                        Ok(request) => self.request(turn, connection, frame.header.request_id, request, output, late),
                        Err(refusal) => refuse(turn, &refusal, output),
                    }
                    taken.consumed = frames.consumed();
                }
                Err(refusal) => {
                    refuse(turn, &refusal, output);
                    taken.malformed = true;
                }
            }
            if turn.draining {
                wire::mark_reply(output, at, wire::REPLY_DRAINING);
            }
            if taken.malformed {
                return taken;
            }
        }
    }

    fn request(&mut self, turn: &Turn<'_>, connection: u32, id: u32, request: Request<'_>, output: &mut Vec<u8>, late: bool) {
        let generation = turn.snapshot.generation();
        if let Some(needed) = permission(&request)
            && !turn.peer.may.has(needed)
        {
            let refusal = wire::Refusal::new(id, wire::ErrorCode::NotPermitted, 0, "this client may not ask that");
            return refuse(turn, &refusal, output);
        }
        match request {
            Request::Lookup(keys) => self.lookup(turn, connection, id, keys, output, late),
            Request::LookupHashed(lookup) => {
                turn.metrics.frames_hashed.add(1);
                let keys = match lookup.keys(generation) {
                    Ok(keys) => keys,
                    Err(refusal) => return refuse(turn, &refusal, output),
                };
                let (at, count) = reserve(output, id, generation, keys.len(), late, turn.metrics);
                if late {
                    return;
                }
                self.pending.push(Pending { connection, count, budget_us: 0, open: false, reply: Reply::Frame { at } });
                let wire::Place { suffix, prefix } = lookup.place();
                for key in keys {
                    self.batch.push_hashed(Key128 { lo: key.lo, hi: key.hi }, suffix, prefix);
                }
            }
            Request::LookupFiles(files) => self.files(turn, connection, id, files, output, late),
            Request::Describe(describe) => {
                turn.metrics.frames_other.add(1);
                match describe.ids(generation) {
                    Ok(ids) => descriptions(turn.snapshot, self.inline.as_ref().map(|inline| &**inline.served()), id, ids, output),
                    Err(refusal) => refuse(turn, &refusal, output),
                }
            }
            Request::Explain { kind, key } => {
                turn.metrics.frames_explain.add(1);
                if late {
                    let refusal = wire::Refusal::new(id, wire::ErrorCode::Overloaded, 0, "it waited for too long");
                    return refuse(turn, &refusal, output);
                }
                // `take_frames` has seen that there is room for it.
                self.explain_now(turn, connection, id, kind, key, output);
            }
            Request::Ping(payload) => {
                turn.metrics.frames_other.add(1);
                wire::encode_pong(output, id, generation, payload);
            }
            Request::Hello(hello) => {
                turn.metrics.frames_other.add(1);
                wire::encode_hello_reply(output, id, &server_hello(turn, hello.version()));
            }
        }
    }

    /// Keys in their own words.
    fn lookup(&mut self, turn: &Turn<'_>, connection: u32, id: u32, keys: wire::KeyList<'_>, output: &mut Vec<u8>, late: bool) {
        turn.metrics.frames_lookup.add(1);
        let (at, count) = reserve(output, id, turn.snapshot.generation(), keys.len(), late, turn.metrics);
        if late {
            return;
        }
        self.pending.push(Pending { connection, count, budget_us: keys.budget_us(), open: false, reply: Reply::Frame { at } });
        let (schedule, profile) = (turn.snapshot.schedule(), turn.snapshot.profile());
        let keys = keys.map(|(kind, bytes)| (kind_of(kind), bytes));
        if let Some(tap) = &mut self.tap {
            tap.note(turn.metrics, self.batch.items().len(), count, keys.clone());
        }
        self.batch.push_all(self.backend, schedule, profile, keys);
    }

    /// Files are asked by their digests; what is said of their headers is kept for models.
    fn files(&mut self, turn: &Turn<'_>, connection: u32, id: u32, files: wire::FileList<'_>, output: &mut Vec<u8>, late: bool) {
        turn.metrics.frames_files.add(1);
        let (at, count) = reserve(output, id, turn.snapshot.generation(), files.len(), late, turn.metrics);
        if late {
            return;
        }
        self.pending.push(Pending { connection, count, budget_us: files.budget_us(), open: false, reply: Reply::Frame { at } });
        if let Some(inline) = &mut self.inline {
            inline.keep_files(self.batch.items().len(), files.clone());
        }
        let (schedule, profile) = (turn.snapshot.schedule(), turn.snapshot.profile());
        let keys = files.map(|file| (Some(Kind::Sha256), &file.sha256[..]));
        if let Some(tap) = &mut self.tap {
            tap.note(turn.metrics, self.batch.items().len(), count, keys.clone());
        }
        self.batch.push_all(self.backend, schedule, profile, keys);
    }
}

/// What a client needs for a request; who is let in may say hello.
fn permission(request: &Request<'_>) -> Option<Permission> {
    match request {
        Request::Hello(_) | Request::Ping(_) => None,
        Request::Explain { .. } => Some(Permission::Explain),
        _ => Some(Permission::Lookup),
    }
}

/// An ANSWERS frame whose answers say *overloaded* until they are filled in; returns where the first one stands.
fn reserve(output: &mut Vec<u8>, id: u32, generation: u64, count: usize, late: bool, metrics: &ShardMetrics) -> (usize, usize) {
    let answers = wire::answers_in_place(output, id, generation, count);
    if late {
        answers.fill(Answer::without_verdict(Status::Overloaded));
        metrics.keys_overloaded.add(count as u64);
    }
    (output.len() - count * size_of::<Answer>(), count)
}

#[cold]
fn refuse(turn: &Turn<'_>, refusal: &wire::Refusal, output: &mut Vec<u8>) {
    turn.metrics.frames_refused.add(1);
    wire::encode_refusal(output, turn.snapshot.generation(), refusal);
}

fn server_hello<'a>(turn: &Turn<'a>, version: u8) -> wire::ServerHello<'a> {
    let (profile, hash_key) = (turn.snapshot.profile(), turn.snapshot.hash_key());
    wire::ServerHello {
        generation: turn.snapshot.generation(),
        version,
        version_min: wire::VERSION_MIN,
        version_max: wire::VERSION_MAX,
        limits: wire::Limits {
            frame_bytes_max: turn.limits.frame_bytes_max as u32,
            requests_in_flight_max: REQUESTS_IN_FLIGHT_MAX,
            ..wire::Limits::default()
        },
        profile: wire::Profile {
            scheme: profile.scheme as u8,
            host_labels_max: profile.host_labels_max,
            path_prefixes_max: profile.path_prefixes_max,
        },
        hash_key: wire::HashKey { h: hash_key.h, k: hash_key.k },
        server: concat!("verdictd/", env!("CARGO_PKG_VERSION")),
    }
}

fn descriptions(snapshot: &Snapshot, models: Option<&Served>, id: u32, ids: wire::IdList<'_>, output: &mut Vec<u8>) {
    let mut writer = wire::DescriptionsWriter::new(output, id, snapshot.generation(), ids.len());
    for verdict_id in ids {
        if let Some((fixed, sources)) = models.and_then(|models| models.describe(verdict_id)) {
            writer.push(fixed, sources.iter().map(String::as_str));
            continue;
        }
        match snapshot.describe(verdict_id) {
            Some(known) => {
                writer.push(description(verdict_id, &known), known.sources().map(|source| source.name));
            }
            None => writer.push(wire::Description::absent(verdict_id), []),
        }
    }
}

/// The fixed part of a record.
pub(super) fn description(id: u32, known: &verdict_tables::Description<'_>) -> wire::Description {
    wire::Description {
        id,
        class: known.class as u8,
        score: known.score,
        confidence: known.confidence,
        rule_kind: rule_kind_on_wire(known.rule_kind).raw(),
        categories: known.categories,
        flags: known.flags.into(),
        first_seen_day: known.first_seen_day,
        last_seen_day: known.last_seen_day,
        ttl_s: known.ttl_s,
        ..wire::Description::default()
    }
}

/// The wire does not tell address families or digests apart: the question already did.
pub(crate) fn rule_kind_on_wire(kind: RuleKind) -> wire::RuleKind {
    match kind {
        RuleKind::Host => wire::RuleKind::Host,
        RuleKind::HostSubdomains => wire::RuleKind::HostBelow,
        RuleKind::Url => wire::RuleKind::Url,
        RuleKind::UrlSubdomains => wire::RuleKind::UrlBelow,
        RuleKind::UrlPrefix => wire::RuleKind::UrlPrefix,
        RuleKind::UrlPrefixSubdomains => wire::RuleKind::UrlPrefixBelow,
        RuleKind::Ipv4 | RuleKind::Ipv6 => wire::RuleKind::Network,
        RuleKind::Sha256 | RuleKind::Sha1 | RuleKind::Md5 => wire::RuleKind::File,
        RuleKind::HostSubstring => wire::RuleKind::HostSubstring,
        RuleKind::UrlSubstring => wire::RuleKind::UrlSubstring,
        RuleKind::HostToken => wire::RuleKind::HostToken,
        RuleKind::UrlToken => wire::RuleKind::UrlToken,
    }
}
