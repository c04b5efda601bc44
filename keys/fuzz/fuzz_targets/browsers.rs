//! Any text, as two browsers' parsers read it and as we do: what fits and why is said where the differential test says it.
//!
//! The first byte is passed over, so that the seeds of `keys` serve here too.

#![no_main]

#[path = "../../../perf/src/differential/judge.rs"]
#[allow(dead_code)] // the canaries are for the test
mod judge;
#[path = "../../../perf/src/differential/peers.rs"]
mod peers;

use verdict_keys::{Canonicalizer, Unparseable};

/// As `judge` expects it of its parent.
type Canonicalise<'a> = dyn FnMut(&[u8]) -> Result<judge::Canonical, Unparseable> + 'a;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(Ok(text)) = data.get(1..).map(std::str::from_utf8) else { return };
    let peers = peers::all();
    let judge = |peer: &dyn peers::Peer| judge::judge(text, &mut |raw| judge::canonical(&mut Canonicalizer::new(), raw), peer);
    let judged: Vec<_> = peers.iter().map(|peer| judge(peer.as_ref())).collect();
    // Where one of them agrees with us, the other is alone.
    assert!(judged.iter().any(Result::is_ok), "{judged:?}: {}", text.escape_debug());
});
