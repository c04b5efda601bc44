//! Why a row gave no rule: a closed list of codes that scripts may rely on, each with a sentence for people.

use verdict_keys::Unparseable;

/// Why a row, or one indicator of it, was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Longer than `limits::LINE_BYTES_MAX`.
    LineTooLong,
    /// Holds a NUL byte.
    NulByte,
    /// Opens a quote that the line does not close, or goes on after one.
    BadQuotes,
    /// More than `limits::COLUMNS_MAX`.
    TooManyColumns,
    /// The indicator's column is not there.
    MissingColumn,
    /// The indicator's column is empty.
    EmptyIndicator,
    /// More than `limits::NAMES_PER_LINE_MAX` names on a line.
    TooManyNames,
    /// Words around the indicator: which one is meant is not for us to guess.
    SeveralWords,
    /// A path alone, a regular expression, a filter rule.
    NotAKey,
    /// `*` in the indicator.
    Wildcard,
    /// A prefix rule of the whole host.
    PrefixOfWholeHost,
    /// An e-mail address.
    Email,
    /// Canonicalisation failed.
    Unparseable(Unparseable),
    /// The machine's own names of a hosts file.
    LocalName,
    /// The line of a hosts file does not start with an address.
    NotAHostsLine,
    /// Names an address that is neither unspecified nor loopback: a redirection, not a block.
    Redirection,
    /// An indicator of another kind than the format holds.
    OtherKind,
    /// The type column has a word that this version does not know.
    UnknownType,
    /// The class column has a word that this version does not know.
    UnknownClass,
    /// The digest's length is not that of its type, or it is not hexadecimal.
    BadDigest,
    /// The digest of the empty file.
    EmptyFile,
    /// All bytes of the digest are equal.
    TrivialDigest,
    /// A character that no host name has.
    HostCharacter,
    /// A host of one label.
    SingleLabel,
    /// A host under which anybody registers.
    PublicSuffix,
    /// Wider than /8 (IPv4) or /16 (IPv6), or over all mapped IPv4 addresses.
    PrefixTooWide,
    /// An address with a prefix length that leaves host bits set.
    HostBits,
    /// Not an address, or a length beyond its bits.
    BadPrefix,
    /// An IPv4 address whose parts do not fit.
    BadAddress,
    /// A range from an address to another.
    Range,
    /// 0.0.0.0/8 or `::`.
    UnspecifiedAddress,
    /// 127.0.0.0/8 or `::1`.
    LoopbackAddress,
    /// Private or link-local space.
    PrivateAddress,
    /// The table would not take the rule.
    RefusedByTables,
    /// The profile could never ask for the rule.
    Unreachable,
    /// A signature shorter than the table takes.
    SignatureTooShort,
    /// A signature longer than the table takes.
    SignatureTooLong,
    /// A signature that ordinary URLs hold.
    SignatureTooGeneral,
    /// A signature that no canonical text can hold, or whose meaning depends on where it stands.
    SignatureNotCanonical,
    /// The source has taken it back.
    Revoked,
    /// Its time was over at the moment that the data describes.
    Expired,
    /// Marked more strictly than the deployment may hold.
    Withheld,
    /// The source itself says that it is harmless.
    Benign,
    /// Context, and not meant for detection.
    NotForDetection,
    /// An exception in a list of blocks.
    Exception,
    /// A block in a list that is read for its exceptions.
    NotAnException,
    /// An option of a filter rule that no key can say.
    FilterOption,
    /// Rules about what pages look like.
    CosmeticRule,
    /// A line that the format does not have.
    ListFormat,
    /// A DNS record or policy that is no block.
    DnsAction,
    /// A trigger of a response policy zone that is about somebody else.
    RpzTrigger,
    /// A rule that does not alert.
    RuleAction,
    /// Conditions beside what a key can say.
    RuleCondition,
    /// Several contents at once.
    RuleSeveral,
    /// A pattern that does not parse.
    PatternSyntax {
        /// Character, from 1.
        at: u32,
        /// What the grammar has there.
        expected: &'static str,
    },
    /// AND.
    PatternAnd,
    /// FOLLOWEDBY.
    PatternFollowedBy,
    /// A qualifier.
    PatternQualifier,
    /// An operator that names no value.
    PatternOperator,
    /// A path that is no key.
    PatternPath,
    /// `pattern_type` is not stix.
    PatternLanguage,
    /// A field is missing or of another type.
    MissingField,
    /// A line that is not one JSON object.
    BadJson,
    /// A field of our own format that it does not have.
    UnknownField,
    /// A JSON object beyond `limits::OBJECT_BYTES_MAX`.
    TooLarge,
}

/// The code of each reason, and the sentence for people; what a reason holds is put behind the sentence.
const TOLD: [(Reason, &str, &str); 65] = [
    (Reason::LineTooLong, "line-too-long", "the line is longer than LINE_BYTES_MAX (65536 bytes)"),
    (Reason::NulByte, "nul-byte", "the line holds a NUL byte"),
    (Reason::BadQuotes, "bad-quotes", "a quote is not closed on its line, or text follows a closed quote"),
    (Reason::TooManyColumns, "too-many-columns", "more than COLUMNS_MAX (64) columns"),
    (Reason::MissingColumn, "missing-column", "the row ends before the indicator's column"),
    (Reason::EmptyIndicator, "empty-indicator", "the indicator's column is empty"),
    (Reason::TooManyNames, "too-many-names", "more than NAMES_PER_LINE_MAX (64) names on one line"),
    (Reason::SeveralWords, "several-words", "words around the indicator: only the indicator may stand on the line"),
    (Reason::NotAKey, "not-a-key", "a path, pattern or filter rule is not a key"),
    (Reason::Wildcard, "wildcard", "a wildcard is not a key (list the name itself; for URLs ending in /* set prefixes = true)"),
    (Reason::PrefixOfWholeHost, "prefix-of-whole-host", "a path prefix of / would list the whole host: that takes a host rule"),
    (Reason::Email, "email", "an e-mail address is not a key"),
    (Reason::Unparseable(Unparseable::Empty), "unparseable", "not parseable"),
    (Reason::LocalName, "local-name", "a name of the machine itself"),
    (Reason::NotAHostsLine, "not-a-hosts-line", "a line of a hosts file begins with an address and goes on with names"),
    (Reason::Redirection, "redirection", "the name is sent to another address: a redirection, not a block"),
    (Reason::OtherKind, "other-kind", "not the kind of indicator that this format holds"),
    (Reason::UnknownType, "unknown-type", "the type column names a type that this version does not know"),
    (Reason::UnknownClass, "unknown-class", "the class column names a class that this version does not know"),
    (Reason::BadDigest, "bad-digest", "not a digest of its type (64, 40 or 32 hexadecimal digits)"),
    (Reason::EmptyFile, "empty-file", "the digest of the empty file would list every empty file"),
    (Reason::TrivialDigest, "trivial-digest", "a digest whose bytes are all equal is a placeholder"),
    (Reason::HostCharacter, "host-character", "the host holds a character that no name has (several columns in one?)"),
    (Reason::SingleLabel, "single-label", "a host rule needs at least two labels"),
    (Reason::PublicSuffix, "public-suffix", "a public suffix: a rule would cover names of unrelated people"),
    (Reason::PrefixTooWide, "prefix-too-wide", "wider than /8 (IPv4) or /16 (IPv6), or over all mapped IPv4 addresses"),
    (Reason::HostBits, "host-bits", "host bits are set beyond the prefix length: one address or the network?"),
    (Reason::BadPrefix, "bad-prefix", "not an address prefix"),
    (Reason::BadAddress, "bad-address", "not an IPv4 address: a part is too large for its place"),
    (Reason::Range, "range", "a range of addresses: write it as prefixes"),
    (Reason::UnspecifiedAddress, "unspecified-address", "the unspecified address"),
    (Reason::LoopbackAddress, "loopback-address", "a loopback address is everybody's own machine"),
    (Reason::PrivateAddress, "private-address", "private and link-local addresses are other machines at every site"),
    (Reason::RefusedByTables, "refused-by-tables", "the table does not take this rule"),
    (Reason::Unreachable, "unreachable", "the profile never asks for this rule"),
    (Reason::SignatureTooShort, "signature-too-short", "a signature of fewer than 5 bytes stands in half of all URLs"),
    (Reason::SignatureTooLong, "signature-too-long", "a signature of more than 255 bytes: list the URL itself"),
    (Reason::SignatureTooGeneral, "signature-too-general", "ordinary URLs hold this text"),
    (
        Reason::SignatureNotCanonical,
        "signature-not-canonical",
        "no canonical URL or host holds this text (double slashes, dot segments, fragments, backslashes, or bytes that no name has)",
    ),
    (Reason::Revoked, "revoked", "its source has taken it back"),
    (Reason::Expired, "expired", "its time was over at as_of: its valid_until, or the lifetime of its kind of source"),
    (Reason::Withheld, "withheld", "its TLP marking is stricter than this deployment may hold"),
    (Reason::Benign, "benign", "its source says that it is harmless"),
    (Reason::NotForDetection, "not-for-detection", "its source does not mean it for detection (to_ids is not true)"),
    (Reason::Exception, "exception", "an exception of a filter list (with action = \"allow\" exceptions are what is read)"),
    (Reason::NotAnException, "not-an-exception", "not an exception: with action = \"allow\" only exceptions of a filter list are read"),
    (Reason::FilterOption, "filter-option", "an option narrows the rule to some pages, requests or parties"),
    (Reason::CosmeticRule, "cosmetic-rule", "a rule about elements and scripts of pages"),
    (Reason::ListFormat, "list-format", "a line that this format does not have"),
    (Reason::DnsAction, "dns-action", "a record or action that neither blocks nor allows a name"),
    (Reason::RpzTrigger, "rpz-trigger", "a trigger by client, name server or answer is about who asks, not about a name"),
    (Reason::RuleAction, "rule-action", "a rule that raises no alarm and drops nothing"),
    (Reason::RuleCondition, "rule-condition", "the rule asks for more than a host, URL, address or digest"),
    (Reason::RuleSeveral, "rule-several", "the rule asks for several things at once"),
    (Reason::PatternSyntax { at: 0, expected: "" }, "pattern-syntax", "the pattern does not parse"),
    (Reason::PatternAnd, "pattern-and", "AND asks for several things at once"),
    (Reason::PatternFollowedBy, "pattern-followedby", "FOLLOWEDBY asks for several things, one after another"),
    (Reason::PatternQualifier, "pattern-qualifier", "WITHIN, REPEATS or START asks for a number or a time"),
    (Reason::PatternOperator, "pattern-operator", "LIKE, MATCHES, NOT, EXISTS and comparisons other than = and IN are no keys"),
    (Reason::PatternPath, "pattern-path", "the pattern asks for something that is no URL, host, address or digest"),
    (Reason::PatternLanguage, "pattern-language", "a pattern of another language (pattern_type)"),
    (Reason::MissingField, "missing-field", "a field that makes it an indicator is missing or of another type"),
    (Reason::BadJson, "bad-json", "not one JSON object"),
    (Reason::UnknownField, "unknown-field", "a field that the format does not have (docs/feeds.md lists them)"),
    (Reason::TooLarge, "too-large", "larger than OBJECT_BYTES_MAX (1048576 bytes)"),
];

impl Reason {
    /// The code: stable, lower case, words joined by `-`.
    pub fn code(self) -> &'static str {
        self.told().0
    }

    fn told(self) -> (&'static str, &'static str) {
        let is_it = |reason: &Reason| std::mem::discriminant(reason) == std::mem::discriminant(&self);
        // tests/manual.rs holds the table against all reasons.
        TOLD.iter().find(|(reason, ..)| is_it(reason)).map_or(("unknown", ""), |(_, code, sentence)| (code, sentence))
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.told().1)?;
        match self {
            Reason::Unparseable(why) => write!(f, ": {why}"),
            Reason::PatternSyntax { at, expected } => write!(f, ": at character {at} the grammar has {expected}"),
            _ => Ok(()),
        }
    }
}
