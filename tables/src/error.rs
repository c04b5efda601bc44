//! What can go wrong, sorted by whose fault it is.

use verdict_keys::Unreachable;

/// Why a snapshot was not made or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A rule that is not in canonical form.
    #[error("malformed rule: {0}")]
    MalformedRule(&'static str),
    /// A vote outside its ranges.
    #[error("malformed vote: {0}")]
    MalformedVote(&'static str),
    /// No question under this profile would ever find all that the rule says.
    #[error("unreachable rule: {0}")]
    Unreachable(Unreachable),
    /// gsb-v5 asks for registrable names, which nobody knows without a list.
    #[error("gsb-v5 needs a public suffix list")]
    NoSuffixList,
    /// More different verdicts than ids.
    #[error("more than {max} different verdicts")]
    TooManyVerdicts {
        /// The limit.
        max: u32,
    },
    /// More sources than a vote can name.
    #[error("more than {max} sources")]
    TooManySources {
        /// The limit.
        max: u32,
    },
    /// More rules or slots than the format addresses.
    #[error("more than {max} rules")]
    TooManyRules {
        /// The limit.
        max: u64,
    },
    /// More signatures, or longer ones, than an automaton may be made of.
    #[error("too many signatures: more than {max} {what}")]
    TooManySignatures {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Signatures that end in one another, too many in a row.
    #[error("more than {max} signatures end in one another, the longest is {text:?}")]
    SignaturesNest {
        /// The limit.
        max: usize,
        /// The longest of them.
        text: String,
    },
    /// No placement was found; all loads and salts failed. Practically impossible without a broken hash.
    #[error("{slots} slots could not be placed in {tries} tries")]
    Unplaceable {
        /// How many slots there were.
        slots: usize,
        /// How many layouts were tried.
        tries: u32,
    },
    /// Not ours to read: a version, flag or scheme from another time.
    #[error("unsupported snapshot: {what} is {got}, known is {known}")]
    Unsupported {
        /// Field of the header.
        what: &'static str,
        /// Its value.
        got: u64,
        /// What this build reads.
        known: u64,
    },
    /// The file is not what its builder wrote.
    #[error("corrupt snapshot: {section} at byte {offset}: expected {expected}, got {got}")]
    Corrupt {
        /// Section, `header`, or `file`.
        section: &'static str,
        /// From the start of the file.
        offset: u64,
        /// What had to stand there.
        expected: String,
        /// What does.
        got: String,
    },
}

impl Error {
    /// A `Corrupt` with values of any displayable kind.
    #[cold]
    pub(crate) fn corrupt(section: &'static str, offset: u64, expected: impl ToString, got: impl ToString) -> Self {
        Self::Corrupt { section, offset, expected: expected.to_string(), got: got.to_string() }
    }
}
