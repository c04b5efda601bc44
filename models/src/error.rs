//! Why a model is not admitted: where, and what.
//!
//! Sorted by fault: bytes that are no model, a model that is not of the form we run, one that costs too much, one that answers wrongly, and one
//! that is not better than what it would replace. All say where: an offset in the file, or a node, tensor or vector by name.

use std::fmt;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes that are no model, or no golden file.
    Malformed,
    /// A model, of a form that is not run here.
    Unsupported,
    /// More of something than its limit.
    TooLarge,
    /// An answer that is not the golden one, or no number.
    Wrong,
    /// Slower or less accurate than what it is to replace.
    Worse,
}

impl Fault {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too large",
            Self::Wrong => "wrong",
            Self::Worse => "worse",
        }
    }
}

/// One reason, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose fault.
    pub fault: Fault,
    /// Byte of the file, where there is one.
    pub at: Option<usize>,
    /// Node, tensor, vector: what the file calls it.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// Bytes of a reason at most: a parser's own message may hold all of what it could not read.
const WHY_BYTES_MAX: usize = 500;

/// A reason that fits a line.
pub(crate) fn shortened(mut why: String) -> String {
    if why.len() > WHY_BYTES_MAX {
        why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        why.push('…');
    }
    why
}

impl Refusal {
    /// Bytes that are no model.
    pub fn malformed(at: usize, why: impl Into<String>) -> Self {
        Self { fault: Fault::Malformed, at: Some(at), place: String::new(), why: shortened(why.into()) }
    }

    /// More than a limit, at a byte.
    pub fn large(at: usize, why: impl Into<String>) -> Self {
        Self { fault: Fault::TooLarge, at: Some(at), place: String::new(), why: shortened(why.into()) }
    }

    /// At a node, tensor or vector.
    pub fn new(fault: Fault, place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { fault, at: None, place: shortened(place.into()), why: shortened(why.into()) }
    }

    /// Not a form that is run here.
    pub fn unsupported(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Fault::Unsupported, place, why)
    }

    /// The same, at a named place if it had none.
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        if self.place.is_empty() {
            self.place = place.to_string();
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.fault.name())?;
        if let Some(at) = self.at {
            write!(formatter, " at byte {at}")?;
        }
        if !self.place.is_empty() {
            write!(formatter, ", {}", self.place)?;
        }
        write!(formatter, ": {}", self.why)
    }
}

impl std::error::Error for Refusal {}
