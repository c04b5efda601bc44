//! A match as a number: the heavier wins.
//!
//! ```text
//! bits 63..56   55..48   47..40            39..32            31     23..0
//!      rank     form     255 - path index  255 - host index  SELF   verdict id
//!               0        bytes of a signature  bit 39 token, bit 38 host part   verdict id
//! ```
//! So "which rule wins" is `max`, and a match that does not apply is a zero: selections, no branches.

use verdict_keys::{Form, Item};

use crate::layout::{SignatureEntry, slot};
use crate::view::View;

/// What a slot of the first wave says about the item itself.
#[inline]
pub(crate) fn first_wave_weight(view: &View<'_>, item: &Item, host: usize, reference: u32) -> Weight {
    if item.form != Form::Web {
        return single_weight(view, item.form, reference);
    }
    let applies = reference & slot::LEAF == 0 && (host == 0 || reference & slot::SELF == 0);
    Weight::new(view, reference, Rank::Host, 0, host).only_if(applies && reference & slot::ID != 0)
}

/// What a slot says about an item of one key.
#[inline]
pub(crate) fn single_weight(view: &View<'_>, form: Form, reference: u32) -> Weight {
    let own = reference & slot::SELF != 0;
    let leaf = reference & slot::LEAF != 0;
    let applies = match form {
        Form::Exact => true,
        Form::Hashed { suffix, prefix } => !(suffix && own || prefix && leaf),
        Form::Web | Form::Address | Form::Unparseable | Form::Unsupported => false,
    };
    let rank = if leaf { Rank::KeyLeaf } else { Rank::Key };
    Weight::new(view, reference, rank, 0, 0).only_if(applies && reference & slot::ID != 0)
}

/// How many of the item's paths may have entries under this host.
#[inline]
pub(crate) fn paths_to_ask(item: &Item, host: usize, reference: u32) -> usize {
    let paths = reference & slot::PATHS != 0 && (host == 0 || reference & slot::PATHS_BELOW != 0);
    if item.form != Form::Web || !paths {
        0
    } else if reference & slot::PREFIXES != 0 {
        item.paths.len as usize
    } else {
        (item.full_paths as usize).min(item.paths.len as usize)
    }
}

/// What a slot of the second wave says about the item.
#[inline]
pub(crate) fn second_wave_weight(view: &View<'_>, item: &Item, host: usize, path: usize, reference: u32) -> Weight {
    let own = reference & slot::SELF != 0;
    let leaf = reference & slot::LEAF != 0;
    let full = path < item.full_paths as usize;
    let rank = match (leaf, path) {
        (false, _) => Rank::Prefix,
        (true, 0) if item.full_paths == 2 => Rank::PathQuery,
        (true, _) => Rank::Path,
    };
    // A path entry carries no PATHS: a host entry found here would be a collision of domains, and is passed over.
    let applies = (host == 0 || !own) && (full || !leaf) && reference & slot::PATHS == 0;
    Weight::new(view, reference, rank, path, host).only_if(applies && reference & slot::ID != 0)
}

/// How specific a match is, within one class.
#[repr(u8)]
#[derive(Clone, Copy)]
pub(crate) enum Rank {
    Signature = 0,
    Address = 1,
    Host = 2,
    Prefix = 3,
    Path = 4,
    PathQuery = 5,
    Key = 6,
    KeyLeaf = 7,
}

/// A match as a number: the heavier wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weight(u64);

impl Weight {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn new(view: &View<'_>, reference: u32, form: Rank, path: usize, host: usize) -> Self {
        let id = reference & slot::ID;
        let own = reference & slot::SELF != 0;
        let rank = view.templates[id as usize].rank();
        // At most 17 hosts and 18 paths.
        let (path, host) = (255 - path.min(255) as u64, 255 - host.min(255) as u64);
        Self(u64::from(rank) << 56 | (form as u64) << 48 | path << 40 | host << 32 | u64::from(own) << 31 | u64::from(id))
    }

    /// A selection, not a branch.
    #[inline]
    pub(crate) const fn only_if(self, applies: bool) -> Self {
        Self(if applies { self.0 } else { 0 })
    }

    pub(crate) fn signature(view: &View<'_>, entry: &SignatureEntry) -> Self {
        let rank = view.templates[entry.verdict as usize].rank();
        let (token, host) = (entry.kind().is_token(), entry.kind().is_host_signature());
        let form = (Rank::Signature as u64) << 48 | u64::from(entry.bytes.min(255)) << 40;
        Self(u64::from(rank) << 56 | form | u64::from(token) << 39 | u64::from(host) << 38 | u64::from(entry.verdict))
    }

    /// Everything but which verdict it is.
    pub(crate) const fn order(self) -> u64 {
        self.0 & !(slot::ID as u64)
    }

    pub(crate) const fn rank(self) -> u8 {
        (self.0 >> 56) as u8
    }

    pub(crate) const fn id(self) -> u32 {
        self.0 as u32 & slot::ID
    }

    /// Its 64 bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}
