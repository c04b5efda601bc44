//! Signatures as the file has them: by text, then kind; every distinct text once.
//!
//! Here a snapshot that would need too much memory where it is served is refused, before anybody serves it.

use crate::error::Error;
use crate::layout::SignatureEntry;
use crate::rule::{RuleKind, SIGNATURE_NESTING_MAX, SIGNATURE_TEXT_BYTES_MAX, SIGNATURES_MAX};
use crate::signatures::text;

/// Entries and texts of distinct signatures, each with its verdict id.
pub(super) fn lay_out(mut signatures: Vec<(Vec<u8>, RuleKind, u32)>) -> Result<(Vec<SignatureEntry>, Vec<u8>), Error> {
    if signatures.len() > SIGNATURES_MAX {
        return Err(Error::TooManySignatures { what: "signatures", max: SIGNATURES_MAX });
    }
    signatures.sort_unstable();
    let (mut entries, mut texts) = (Vec::with_capacity(signatures.len()), Vec::new());
    for same in signatures.chunk_by(|a, b| a.0 == b.0) {
        let at = texts.len() as u32;
        texts.extend_from_slice(&same[0].0);
        if texts.len() > SIGNATURE_TEXT_BYTES_MAX {
            return Err(Error::TooManySignatures { what: "bytes of their texts", max: SIGNATURE_TEXT_BYTES_MAX });
        }
        let entry = |(text, kind, verdict): &(Vec<u8>, RuleKind, u32)| SignatureEntry {
            at,
            verdict: *verdict,
            bytes: text.len() as u16,
            rule_kind: *kind as u8,
            zero: 0,
        };
        entries.extend(same.iter().map(entry));
    }
    let distinct = signatures.chunk_by(|a, b| a.0 == b.0).map(|same| &same[0].0[..]);
    if let Some(text) = text::too_nested(distinct) {
        let text = String::from_utf8_lossy(text).into_owned();
        return Err(Error::SignaturesNest { max: SIGNATURE_NESTING_MAX, text });
    }
    Ok((entries, texts))
}
