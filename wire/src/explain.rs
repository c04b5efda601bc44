//! EXPLANATION: how one key is read, what is asked for it, and which rules match. PROTOCOL.md section 8.
//!
//! ```text
//!  │ head, 24 bytes │ hosts × HostAsked, 4 │ paths × end, 2 │ count × RuleMatch, 48 │ canonical text │ reason │
//!
//!  canonical  http://a.b.example/dir/x?q=1        an expression is one host with one path, both pieces of this text:
//!  hosts             ^ ^                          from here up to `path_at`
//!  paths                         ^^  ^            from `path_at` up to here
//! ```
//! The winner stands first. At most MATCHES_MAX matches are told and CANONICAL_BYTES_MAX bytes of text; flags say where something was left out.

use crate::answer::{Answer, Status};
use crate::closed::{bit_set, closed};
use crate::error::{Malformed, cut};
use crate::frame::{
    CANONICAL_BYTES_MAX, EXPLAINED_BYTES_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, MATCHES_MAX, begin_frame,
    finish_frame, read,
};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::net::{IpAddr, Ipv6Addr};

closed! {
    /// Which part of the question a rule is about.
    MatchOn: u8 {
        /// Something that only a newer server knows.
        Other = 0 "other",
        /// One of its hosts.
        Host = 1 "host",
        /// One of its hosts with one of its paths.
        Url = 2 "url",
        /// Its address.
        Network = 3 "network",
        /// A piece of its canonical text.
        Signature = 4 "signature",
        /// The key itself.
        Key = 5 "key",
    }
}

bit_set! {
    /// How a rule matches.
    MatchFlags: u8 {
        /// Its answer is the answer.
        WINS = 0 "wins",
        /// It is about that very host, not about names below it.
        OWN = 1 "own",
        /// It is about the paths below as well.
        PREFIX = 2 "prefix",
        /// It is switched off: it would say that, and does not.
        OFF = 3 "off",
    }
}

bit_set! {
    /// What an EXPLANATION leaves out.
    ExplanationFlags: u8 {
        /// The canonical text is longer, so expressions are not told either.
        CANONICAL_CUT = 0 "canonical-cut",
        /// More rules match.
        MATCHES_CUT = 1 "matches-cut",
    }
}

/// One host expression.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct HostAsked {
    /// Where it begins in the canonical text.
    pub at: [u8; 2],
    /// How many of the paths were asked for under it, the first ones.
    pub paths_asked: u8,
    /// 1 if the tables have an entry of that host, be it only that URL rules exist under it.
    pub listed: u8,
}

/// One rule that matches.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RuleMatch {
    /// A `MatchOn`.
    pub on: u8,
    /// `MatchFlags`.
    pub flags: u8,
    /// Place among the hosts, where it is about one.
    pub host: u8,
    /// Place among the paths, where it is about one.
    pub path: u8,
    /// Where a signature's text begins in the canonical text.
    pub at: [u8; 2],
    /// Bytes of a signature's text.
    pub bytes: [u8; 2],
    /// What this rule alone would answer.
    pub answer: Answer,
    /// First address of a network, IPv4 as `::ffff:a.b.c.d`.
    pub first: [u8; 16],
    /// Last address of a network.
    pub last: [u8; 16],
}

/// Bytes of a `RuleMatch`.
pub const MATCH_BYTES: usize = 48;
const HOST_ASKED_BYTES: usize = 4;
const _: () = assert!(size_of::<RuleMatch>() == MATCH_BYTES && align_of::<RuleMatch>() == 1);
const _: () = assert!(size_of::<HostAsked>() == HOST_ASKED_BYTES && align_of::<HostAsked>() == 1);
const _: () = assert!(offset_of!(RuleMatch, answer) == 8 && offset_of!(RuleMatch, first) == 16 && offset_of!(RuleMatch, last) == 32);

impl RuleMatch {
    /// What it is about; a number of a newer server reads as other.
    pub const fn on(&self) -> MatchOn {
        match MatchOn::from_raw(self.on) {
            Some(on) => on,
            None => MatchOn::Other,
        }
    }

    /// How it matches.
    pub const fn flags(&self) -> MatchFlags {
        MatchFlags(self.flags)
    }

    /// First and last address of a network.
    pub fn network(&self) -> (IpAddr, IpAddr) {
        let address = |octets: [u8; 16]| Ipv6Addr::from(octets).to_canonical();
        (address(self.first), address(self.last))
    }

    /// The octets of an address as `first` and `last` hold it.
    pub fn octets(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    generation: u64,
    status: u8,
    flags: u8,
    canonical_bytes: u16,
    reason_bytes: u16,
    path_at: u16,
    hosts: u8,
    paths: u8,
    paths_exact: u8,
    zero: [u8; 5],
}

const HEAD_BYTES: usize = 24;
const PATH_END_BYTES: usize = 2;
const _: () = assert!(size_of::<Head>() == HEAD_BYTES);
const _: () = assert!(offset_of!(Head, status) == 8 && offset_of!(Head, canonical_bytes) == 10 && offset_of!(Head, reason_bytes) == 12);
const _: () = assert!(offset_of!(Head, path_at) == 14 && offset_of!(Head, hosts) == 16 && offset_of!(Head, zero) == 19);
const _: () = assert!(CANONICAL_BYTES_MAX <= u16::MAX as usize, "canonical_bytes is a u16");
const _: () = assert!(
    FRAME_HEADER_BYTES
        + HEAD_BYTES
        + u8::MAX as usize * (HOST_ASKED_BYTES + PATH_END_BYTES)
        + MATCHES_MAX * MATCH_BYTES
        + CANONICAL_BYTES_MAX
        + EXPLAINED_BYTES_MAX
        <= FRAME_BYTES_MAX
);

/// How one key is read and which rules match it, borrowed: written by a server, read by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// Of the tables that were asked.
    pub generation: u64,
    /// A `Status`; raw, since a newer server may know more of them.
    pub status: u8,
    /// `ExplanationFlags`.
    pub flags: u8,
    /// Printable ASCII: `http://host/path?query`, a host, an address, a digest in hexadecimal; empty where the key is none.
    pub canonical: &'a str,
    /// Where the host ends and the path begins in `canonical`.
    pub path_at: u16,
    /// The exact host first, then its suffixes, longest first. None for a key that has no host.
    pub hosts: &'a [HostAsked],
    /// Where each path ends in `canonical`: with query, without, then prefixes, longest first. None for a key that has no path.
    pub path_ends: &'a [[u8; 2]],
    /// How many of the paths are the exact path.
    pub paths_exact: u8,
    /// For people: why there is no verdict; with status ok the operator's act that decides, if one does, and what models say, a line each.
    pub reason: &'a str,
    /// The winner first.
    pub matches: &'a [RuleMatch],
}

impl<'a> Explanation<'a> {
    /// Whether the key was judged; a number of a newer server reads as error.
    pub const fn status(&self) -> Status {
        match Status::from_raw(self.status) {
            Some(status) => status,
            None => Status::Error,
        }
    }

    /// A copy that outlives the receive buffer.
    pub fn to_owned(&self) -> Explained {
        let text = |from: usize, to: usize| self.canonical.get(from..to).unwrap_or_default().to_owned();
        let path_at = usize::from(self.path_at);
        Explained {
            generation: self.generation,
            status: self.status(),
            flags: ExplanationFlags(self.flags),
            canonical: self.canonical.to_owned(),
            hosts: self.hosts.iter().map(|host| (text(u16::from_le_bytes(host.at).into(), path_at), *host)).collect(),
            paths: self.path_ends.iter().map(|end| text(path_at, u16::from_le_bytes(*end).into())).collect(),
            paths_exact: self.paths_exact.into(),
            reason: self.reason.to_owned(),
            matches: self
                .matches
                .iter()
                .map(|found| {
                    let at = usize::from(u16::from_le_bytes(found.at));
                    ExplainedMatch { found: *found, signature: text(at, at + usize::from(u16::from_le_bytes(found.bytes))) }
                })
                .collect(),
        }
    }

    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let at = |offset: usize| FRAME_HEADER_BYTES + offset;
        let head: Head = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "an EXPLANATION ends before its expressions"))?;
        let mut rest = Pieces { body: frame.body, at: HEAD_BYTES };
        let hosts: &[HostAsked] = bytemuck::cast_slice(rest.take(usize::from(head.hosts) * HOST_ASKED_BYTES)?);
        let path_ends: &[[u8; 2]] = bytemuck::cast_slice(rest.take(usize::from(head.paths) * PATH_END_BYTES)?);
        if usize::from(frame.header.count) > MATCHES_MAX {
            return Err(Malformed::new(6, "more matches than an EXPLANATION has"));
        }
        let matches: &[RuleMatch] = bytemuck::cast_slice(rest.take(usize::from(frame.header.count) * MATCH_BYTES)?);
        let canonical_at = rest.at;
        if usize::from(head.canonical_bytes) > CANONICAL_BYTES_MAX || usize::from(head.reason_bytes) > EXPLAINED_BYTES_MAX {
            return Err(Malformed::new(at(10), "a text is too long"));
        }
        let canonical = rest.take(head.canonical_bytes.into())?;
        if let Some(odd) = canonical.iter().position(|byte| !byte.is_ascii_graphic()) {
            return Err(Malformed::new(at(canonical_at + odd), "canonical text is printable ASCII"));
        }
        let reason_at = rest.at;
        let reason = rest.take(head.reason_bytes.into())?;
        if rest.at != frame.body.len() {
            return Err(Malformed::new(at(rest.at), "bytes after the reason"));
        }
        let reason = std::str::from_utf8(reason).map_err(|e| Malformed::new(at(reason_at + e.valid_up_to()), "the reason is not UTF-8"))?;
        let explanation = Self {
            generation: head.generation,
            status: head.status,
            flags: head.flags,
            canonical: std::str::from_utf8(canonical).unwrap_or_default(), // ASCII, as just seen
            path_at: head.path_at,
            hosts,
            path_ends,
            paths_exact: head.paths_exact,
            reason,
            matches,
        };
        explanation.check()
    }

    /// Every place is within what it is a place of.
    fn check(self) -> Result<Self, Malformed> {
        let at = |offset: usize| FRAME_HEADER_BYTES + offset;
        let (bytes, path_at) = (self.canonical.len(), usize::from(self.path_at));
        if path_at > bytes || usize::from(self.paths_exact) > self.path_ends.len() {
            return Err(Malformed::new(at(14), "path_at or paths_exact is past the end"));
        }
        let paths_begin = HEAD_BYTES + size_of_val(self.hosts);
        for (index, host) in self.hosts.iter().enumerate() {
            if usize::from(u16::from_le_bytes(host.at)) > path_at || usize::from(host.paths_asked) > self.path_ends.len() || host.listed > 1
            {
                return Err(Malformed::new(at(HEAD_BYTES + index * HOST_ASKED_BYTES), "a host is no piece of the canonical text"));
            }
        }
        for (index, end) in self.path_ends.iter().enumerate() {
            if !(path_at..=bytes).contains(&usize::from(u16::from_le_bytes(*end))) {
                return Err(Malformed::new(at(paths_begin + index * PATH_END_BYTES), "a path is no piece of the canonical text"));
            }
        }
        let matches_begin = paths_begin + size_of_val(self.path_ends);
        for (index, found) in self.matches.iter().enumerate() {
            let (host, path) = (usize::from(found.host), usize::from(found.path));
            let within = match found.on() {
                MatchOn::Host => host < self.hosts.len(),
                MatchOn::Url => host < self.hosts.len() && path < self.path_ends.len(),
                MatchOn::Signature => usize::from(u16::from_le_bytes(found.at)) + usize::from(u16::from_le_bytes(found.bytes)) <= bytes,
                MatchOn::Network | MatchOn::Key | MatchOn::Other => true,
            } || self.flags & ExplanationFlags::CANONICAL_CUT.0 != 0;
            if !within {
                return Err(Malformed::new(at(matches_begin + index * MATCH_BYTES), "a match is about no part of the question"));
            }
        }
        Ok(self)
    }
}

/// Takes the pieces of a body one after the other.
struct Pieces<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let piece = self.body.get(self.at..self.at + bytes);
        let piece = piece.ok_or(Malformed::new(FRAME_HEADER_BYTES + self.body.len(), "an EXPLANATION ends within a part"))?;
        self.at += bytes;
        Ok(piece)
    }
}

/// An EXPLANATION, owned, with its pieces cut out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Of the tables that were asked.
    pub generation: u64,
    /// Whether the key was judged.
    pub status: Status,
    /// What was left out.
    pub flags: ExplanationFlags,
    /// As [`Explanation::canonical`].
    pub canonical: String,
    /// The exact host, then its suffixes, longest first, each with what was asked under it.
    pub hosts: Vec<(String, HostAsked)>,
    /// With query, without, then prefixes, longest first.
    pub paths: Vec<String>,
    /// How many of `paths` are the exact path.
    pub paths_exact: usize,
    /// Why there is no verdict, or which act of an operator decides.
    pub reason: String,
    /// The winner first.
    pub matches: Vec<ExplainedMatch>,
}

/// One match of an [`Explained`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedMatch {
    /// As it came.
    pub found: RuleMatch,
    /// The text of a signature; else empty.
    pub signature: String,
}

/// Appends an EXPLANATION. What is too long is cut, and flagged.
pub fn encode_explanation(out: &mut Vec<u8>, request_id: u32, explanation: &Explanation<'_>) {
    let Explanation { generation, status, mut flags, mut canonical, mut path_at, mut hosts, mut path_ends, mut paths_exact, .. } =
        *explanation;
    if canonical.len() > CANONICAL_BYTES_MAX {
        flags |= ExplanationFlags::CANONICAL_CUT.0;
        canonical = cut(canonical, CANONICAL_BYTES_MAX);
        (path_at, hosts, path_ends, paths_exact) = (0, &[], &[], 0);
    }
    let mut matches = explanation.matches;
    if matches.len() > MATCHES_MAX {
        flags |= ExplanationFlags::MATCHES_CUT.0;
        matches = &matches[..MATCHES_MAX];
    }
    assert!(hosts.len() <= u8::MAX.into() && path_ends.len() <= u8::MAX.into(), "keys asks for fewer expressions than that");
    let reason = cut(explanation.reason, EXPLAINED_BYTES_MAX);
    let head = Head {
        generation,
        status,
        flags,
        canonical_bytes: canonical.len() as u16,
        reason_bytes: reason.len() as u16,
        path_at,
        hosts: hosts.len() as u8,
        paths: path_ends.len() as u8,
        paths_exact,
        zero: [0; 5],
    };
    let start = begin_frame(out, FrameKind::Explanation, matches.len() as u16, request_id, 0);
    out.extend_from_slice(bytemuck::bytes_of(&head));
    out.extend_from_slice(bytemuck::cast_slice(hosts));
    out.extend_from_slice(bytemuck::cast_slice(path_ends));
    out.extend_from_slice(bytemuck::cast_slice(matches));
    out.extend_from_slice(canonical.as_bytes());
    out.extend_from_slice(reason.as_bytes());
    finish_frame(out, start);
}
