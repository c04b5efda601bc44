//! README.md names every format and every reason code, and no others.

use std::collections::BTreeSet;
use verdict_intel::{Format, Reason};
use verdict_keys::Unparseable;

const README: &str = include_str!("../../README.md");

#[test]
fn every_format_has_its_row() {
    for format in Format::ALL {
        assert!(README.contains(&format!("\n| `{format}` | ")), "README.md has no row for {format}");
    }
    for row in README.lines().filter(|line| line.starts_with("| `")) {
        let defaults = row.split('|').nth(1).and_then(|cell| Format::by_name(cell.trim().trim_matches('`'))).map(Format::defaults);
        let Some(defaults) = defaults else { continue };
        let cell = |index| row.split('|').nth(index).unwrap_or_default().trim();
        let categories: Vec<&str> = verdict_intel::categories::names(defaults.categories).collect();
        assert_eq!(cell(4), categories.join(" "), "{row}");
        assert!(cell(5).ends_with(&defaults.confidence.to_string()), "{row}");
        assert_eq!(cell(6), if defaults.ttl_s == 86_400 { "1d" } else { "1h" }, "{row}");
        assert!(cell(7).is_empty() || cell(7).starts_with("yes") == defaults.subdomains, "{row}");
    }
}

#[test]
fn every_reason_code_is_listed() {
    let section = README.split("## What is refused").nth(1).unwrap();
    let listed: BTreeSet<&str> =
        section.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let known: BTreeSet<&str> = REASONS.iter().map(|reason| reason.code()).collect();
    assert_eq!(known.len(), REASONS.len(), "codes are unique");
    assert_eq!(listed, known);
    assert!(REASONS.iter().all(|reason| !reason.to_string().is_empty()));
}

const REASONS: [Reason; 65] = [
    Reason::Withheld,
    Reason::BadJson,
    Reason::UnknownField,
    Reason::SignatureTooShort,
    Reason::SignatureTooLong,
    Reason::SignatureTooGeneral,
    Reason::SignatureNotCanonical,
    Reason::LineTooLong,
    Reason::NulByte,
    Reason::BadQuotes,
    Reason::TooManyColumns,
    Reason::MissingColumn,
    Reason::EmptyIndicator,
    Reason::TooManyNames,
    Reason::SeveralWords,
    Reason::NotAKey,
    Reason::Wildcard,
    Reason::PrefixOfWholeHost,
    Reason::Email,
    Reason::Unparseable(Unparseable::Empty),
    Reason::LocalName,
    Reason::NotAHostsLine,
    Reason::Redirection,
    Reason::OtherKind,
    Reason::UnknownType,
    Reason::UnknownClass,
    Reason::BadDigest,
    Reason::EmptyFile,
    Reason::TrivialDigest,
    Reason::HostCharacter,
    Reason::SingleLabel,
    Reason::PublicSuffix,
    Reason::PrefixTooWide,
    Reason::HostBits,
    Reason::BadPrefix,
    Reason::BadAddress,
    Reason::Range,
    Reason::UnspecifiedAddress,
    Reason::LoopbackAddress,
    Reason::PrivateAddress,
    Reason::RefusedByTables,
    Reason::Unreachable,
    Reason::Revoked,
    Reason::Expired,
    Reason::Benign,
    Reason::NotForDetection,
    Reason::Exception,
    Reason::NotAnException,
    Reason::FilterOption,
    Reason::CosmeticRule,
    Reason::ListFormat,
    Reason::DnsAction,
    Reason::RpzTrigger,
    Reason::RuleAction,
    Reason::RuleCondition,
    Reason::RuleSeveral,
    Reason::PatternSyntax { at: 1, expected: "[" },
    Reason::PatternAnd,
    Reason::PatternFollowedBy,
    Reason::PatternQualifier,
    Reason::PatternOperator,
    Reason::PatternPath,
    Reason::PatternLanguage,
    Reason::MissingField,
    Reason::TooLarge,
];
