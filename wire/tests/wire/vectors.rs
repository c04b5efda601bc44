//! The golden vectors: every file of wire/vectors decodes as its `expect` lines say, however its bytes arrive, and what it says encodes to
//! the same bytes again.

use crate::common;
use common::{Side, encoded_again, outcomes, parse_hex, vectors};
use verdict_wire::Frames;

#[test]
fn every_vector_has_its_outcome_in_one_piece() {
    for vector in vectors() {
        assert_eq!(outcomes(vector.side, [vector.bytes.as_slice()]), vector.expect, "{}", vector.name);
    }
}

#[test]
fn every_vector_has_its_outcome_byte_by_byte() {
    for vector in vectors() {
        assert_eq!(outcomes(vector.side, vector.bytes.chunks(1)), vector.expect, "{}", vector.name);
    }
}

#[test]
fn every_short_vector_has_its_outcome_split_anywhere() {
    let (mut twos, mut threes) = (0, 0);
    for vector in vectors().iter().filter(|vector| vector.bytes.len() <= 512) {
        for first in 0..=vector.bytes.len() {
            let (a, b) = vector.bytes.split_at(first);
            assert_eq!(outcomes(vector.side, [a, b]), vector.expect, "{} split at {first}", vector.name);
            twos += 1;
            if vector.bytes.len() > 64 {
                continue;
            }
            for second in 0..=b.len() {
                let (b, c) = b.split_at(second);
                assert_eq!(outcomes(vector.side, [a, b, c]), vector.expect, "{} split at {first} and {second} more", vector.name);
                threes += 1;
            }
        }
    }
    assert!(twos > 3000 && threes > 10_000, "the vectors shrank: {twos} and {threes} splits");
}

#[test]
fn what_a_vector_says_encodes_to_its_bytes() {
    // Said by a newer peer, or refused by our own encoder for good reason: read leniently, never written.
    let never_written = ["error-code-11", "answers-reply-flags"];
    let mut frames_compared = 0;
    for vector in vectors() {
        let mut at = 0;
        for frame in Frames::new(&vector.bytes).map_while(Result::ok) {
            let bytes = &vector.bytes[at..at + frame.bytes()];
            at += frame.bytes();
            if never_written.contains(&vector.name.as_str()) {
                continue;
            }
            if let Some(again) = encoded_again(vector.side, &frame) {
                assert_eq!(again, bytes, "{}", vector.name);
                frames_compared += 1;
            }
        }
    }
    assert!(frames_compared >= 45, "only {frames_compared} frames compared");
}

#[test]
fn the_other_side_s_decoder_refuses_every_vector_calmly() {
    for vector in vectors() {
        let other = if vector.side == Side::Request { Side::Reply } else { Side::Request };
        for outcome in outcomes(other, [vector.bytes.as_slice()]) {
            let refused = ["refused ", "malformed ", "incomplete"].iter().any(|start| outcome.starts_with(start));
            // The file about replies posing as requests, and the other way round, is the exception by design.
            assert!(
                refused || vector.name.starts_with("kind-reply") || vector.name.starts_with("reply-kind"),
                "{}: {outcome}",
                vector.name
            );
        }
    }
}

#[test]
fn hex_text_that_is_no_hex_is_an_error_of_the_vector() {
    for text in ["0", "zz", "2*", "(01", "01)", "x*01", "*01"] {
        assert!(parse_hex(text).is_err(), "{text}");
    }
    assert_eq!(parse_hex("01 2*02 2*(03 2*04)"), Ok(vec![1, 2, 2, 3, 4, 4, 3, 4, 4]));
}
