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

impl Reason {
    /// The code: stable, lower case, words joined by `-`.
    pub fn code(self) -> &'static str {
        match self {
            Reason::LineTooLong => "line-too-long",
            Reason::NulByte => "nul-byte",
            Reason::BadQuotes => "bad-quotes",
            Reason::TooManyColumns => "too-many-columns",
            Reason::MissingColumn => "missing-column",
            Reason::EmptyIndicator => "empty-indicator",
            Reason::TooManyNames => "too-many-names",
            Reason::SeveralWords => "several-words",
            Reason::NotAKey => "not-a-key",
            Reason::Wildcard => "wildcard",
            Reason::PrefixOfWholeHost => "prefix-of-whole-host",
            Reason::Email => "email",
            Reason::Unparseable(_) => "unparseable",
            Reason::LocalName => "local-name",
            Reason::NotAHostsLine => "not-a-hosts-line",
            Reason::Redirection => "redirection",
            Reason::OtherKind => "other-kind",
            Reason::UnknownType => "unknown-type",
            Reason::UnknownClass => "unknown-class",
            Reason::BadDigest => "bad-digest",
            Reason::EmptyFile => "empty-file",
            Reason::TrivialDigest => "trivial-digest",
            Reason::HostCharacter => "host-character",
            Reason::SingleLabel => "single-label",
            Reason::PublicSuffix => "public-suffix",
            Reason::PrefixTooWide => "prefix-too-wide",
            Reason::HostBits => "host-bits",
            Reason::BadPrefix => "bad-prefix",
            Reason::BadAddress => "bad-address",
            Reason::Range => "range",
            Reason::UnspecifiedAddress => "unspecified-address",
            Reason::LoopbackAddress => "loopback-address",
            Reason::PrivateAddress => "private-address",
            Reason::RefusedByTables => "refused-by-tables",
            Reason::Unreachable => "unreachable",
            Reason::SignatureTooShort => "signature-too-short",
            Reason::SignatureTooLong => "signature-too-long",
            Reason::SignatureTooGeneral => "signature-too-general",
            Reason::SignatureNotCanonical => "signature-not-canonical",
            Reason::Revoked => "revoked",
            Reason::Expired => "expired",
            Reason::Withheld => "withheld",
            Reason::Benign => "benign",
            Reason::NotForDetection => "not-for-detection",
            Reason::Exception => "exception",
            Reason::NotAnException => "not-an-exception",
            Reason::FilterOption => "filter-option",
            Reason::CosmeticRule => "cosmetic-rule",
            Reason::ListFormat => "list-format",
            Reason::DnsAction => "dns-action",
            Reason::RpzTrigger => "rpz-trigger",
            Reason::RuleAction => "rule-action",
            Reason::RuleCondition => "rule-condition",
            Reason::RuleSeveral => "rule-several",
            Reason::PatternSyntax { .. } => "pattern-syntax",
            Reason::PatternAnd => "pattern-and",
            Reason::PatternFollowedBy => "pattern-followedby",
            Reason::PatternQualifier => "pattern-qualifier",
            Reason::PatternOperator => "pattern-operator",
            Reason::PatternPath => "pattern-path",
            Reason::PatternLanguage => "pattern-language",
            Reason::MissingField => "missing-field",
            Reason::BadJson => "bad-json",
            Reason::UnknownField => "unknown-field",
            Reason::TooLarge => "too-large",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::LineTooLong => "the line is longer than LINE_BYTES_MAX (65536 bytes)",
            Reason::NulByte => "the line holds a NUL byte",
            Reason::BadQuotes => "a quote is not closed on its line, or text follows a closed quote",
            Reason::TooManyColumns => "more than COLUMNS_MAX (64) columns",
            Reason::MissingColumn => "the row ends before the indicator's column",
            Reason::EmptyIndicator => "the indicator's column is empty",
            Reason::TooManyNames => "more than NAMES_PER_LINE_MAX (64) names on one line",
            Reason::SeveralWords => "words around the indicator: only the indicator may stand on the line",
            Reason::NotAKey => "a path, pattern or filter rule is not a key",
            Reason::Wildcard => "a wildcard is not a key (list the name itself; for URLs ending in /* set prefixes = true)",
            Reason::PrefixOfWholeHost => "a path prefix of / would list the whole host: that takes a host rule",
            Reason::Email => "an e-mail address is not a key",
            Reason::Unparseable(why) => return write!(f, "not parseable: {why}"),
            Reason::LocalName => "a name of the machine itself",
            Reason::NotAHostsLine => "a line of a hosts file begins with an address and goes on with names",
            Reason::Redirection => "the name is sent to another address: a redirection, not a block",
            Reason::OtherKind => "not the kind of indicator that this format holds",
            Reason::UnknownType => "the type column names a type that this version does not know",
            Reason::UnknownClass => "the class column names a class that this version does not know",
            Reason::BadDigest => "not a digest of its type (64, 40 or 32 hexadecimal digits)",
            Reason::EmptyFile => "the digest of the empty file would list every empty file",
            Reason::TrivialDigest => "a digest whose bytes are all equal is a placeholder",
            Reason::HostCharacter => "the host holds a character that no name has (several columns in one?)",
            Reason::SingleLabel => "a host rule needs at least two labels",
            Reason::PublicSuffix => "a public suffix: a rule would cover names of unrelated people",
            Reason::PrefixTooWide => "wider than /8 (IPv4) or /16 (IPv6), or over all mapped IPv4 addresses",
            Reason::HostBits => "host bits are set beyond the prefix length: one address or the network?",
            Reason::BadPrefix => "not an address prefix",
            Reason::BadAddress => "not an IPv4 address: a part is too large for its place",
            Reason::Range => "a range of addresses: write it as prefixes",
            Reason::UnspecifiedAddress => "the unspecified address",
            Reason::LoopbackAddress => "a loopback address is everybody's own machine",
            Reason::PrivateAddress => "private and link-local addresses are other machines at every site",
            Reason::RefusedByTables => "the table does not take this rule",
            Reason::Unreachable => "the profile never asks for this rule",
            Reason::Revoked => "its source has taken it back",
            Reason::Expired => "its time was over at as_of: its valid_until, or the lifetime of its kind of source",
            Reason::Withheld => "its TLP marking is stricter than this deployment may hold",
            Reason::Benign => "its source says that it is harmless",
            Reason::NotForDetection => "its source does not mean it for detection (to_ids is not true)",
            Reason::Exception => "an exception of a filter list (with action = \"allow\" exceptions are what is read)",
            Reason::NotAnException => "not an exception: with action = \"allow\" only exceptions of a filter list are read",
            Reason::FilterOption => "an option narrows the rule to some pages, requests or parties",
            Reason::CosmeticRule => "a rule about elements and scripts of pages",
            Reason::ListFormat => "a line that this format does not have",
            Reason::DnsAction => "a record or action that neither blocks nor allows a name",
            Reason::RpzTrigger => "a trigger by client, name server or answer is about who asks, not about a name",
            Reason::RuleAction => "a rule that raises no alarm and drops nothing",
            Reason::RuleCondition => "the rule asks for more than a host, URL, address or digest",
            Reason::RuleSeveral => "the rule asks for several things at once",
            Reason::PatternSyntax { at, expected } => {
                return write!(f, "the pattern does not parse: at character {at} the grammar has {expected}");
            }
            Reason::PatternAnd => "AND asks for several things at once",
            Reason::PatternFollowedBy => "FOLLOWEDBY asks for several things, one after another",
            Reason::PatternQualifier => "WITHIN, REPEATS or START asks for a number or a time",
            Reason::PatternOperator => "LIKE, MATCHES, NOT, EXISTS and comparisons other than = and IN are no keys",
            Reason::PatternPath => "the pattern asks for something that is no URL, host, address or digest",
            Reason::PatternLanguage => "a pattern of another language (pattern_type)",
            Reason::MissingField => "a field that makes it an indicator is missing or of another type",
            Reason::BadJson => "not one JSON object",
            Reason::UnknownField => "a field that the format does not have (docs/feeds.md lists them)",
            Reason::TooLarge => "larger than OBJECT_BYTES_MAX (1048576 bytes)",
            Reason::SignatureTooShort => "a signature of fewer than 5 bytes stands in half of all URLs",
            Reason::SignatureTooLong => "a signature of more than 255 bytes: list the URL itself",
            Reason::SignatureTooGeneral => "ordinary URLs hold this text",
            Reason::SignatureNotCanonical => {
                "no canonical URL or host holds this text (double slashes, dot segments, fragments, backslashes, or bytes that no name has)"
            }
        })
    }
}
