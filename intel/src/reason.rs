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
            Reason::SignatureTooShort => "a signature of fewer than 5 bytes stands in half of all URLs",
            Reason::SignatureTooLong => "a signature of more than 255 bytes: list the URL itself",
            Reason::SignatureTooGeneral => "ordinary URLs hold this text",
            Reason::SignatureNotCanonical => {
                "no canonical URL or host holds this text (double slashes, dot segments, fragments, backslashes, or bytes that no name has)"
            }
        })
    }
}
