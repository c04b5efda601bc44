//! What a rule is about, in terms of the question: the common form of what the tables and the wire say of a match.

use std::net::IpAddr;
use verdict_keys::Digest;
use verdict_tables::{Part, Rule};

/// The part of the question that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A host rule.
    Host {
        /// Its text.
        host: String,
        /// Not about names below it.
        own: bool,
    },
    /// A URL rule.
    Url {
        /// Its host.
        host: String,
        /// Its path, and query if it has one.
        path: String,
        /// Not about names below the host.
        own: bool,
        /// About the paths below.
        prefix: bool,
    },
    /// Some address rule; the snapshot keeps winners by intervals of addresses.
    Interval {
        /// First address.
        first: IpAddr,
        /// Last address.
        last: IpAddr,
    },
    /// One address rule, as its feed has it.
    Prefix {
        /// First address.
        network: IpAddr,
        /// Its length.
        bits: u8,
    },
    /// A text within the question.
    Signature {
        /// In lower case, as its rule has it.
        text: String,
        /// Where it is looked for; none if that is not known.
        part: Option<Part>,
        /// As a whole word.
        token: bool,
    },
    /// A file.
    File(Digest),
    /// Something that this version does not know.
    Other,
}

impl About {
    /// The rule itself, if that is what it says.
    pub fn rule(&self) -> Option<Rule<'_>> {
        Some(match self {
            Self::Host { host, own } => Rule::Host { host, subdomains: !own },
            Self::Url { host, path, own, prefix } => Rule::Url { host, path_query: path, prefix: *prefix, subdomains: !own },
            Self::Prefix { network, bits } => Rule::Net { network: *network, bits: *bits },
            Self::File(digest) => Rule::File(*digest),
            Self::Signature { text, part, token } => Rule::Signature { text, part: (*part)?, token: *token },
            Self::Interval { .. } | Self::Other => return None,
        })
    }

    /// For people; `…` stands for what the rule leaves open. Canonical text is printable ASCII.
    pub fn text(&self) -> String {
        match self {
            Self::Host { host, .. } => host.clone(),
            Self::Url { host, path, prefix, .. } => format!("{host}{path}{}", if *prefix { "…" } else { "" }),
            Self::Interval { first, last } if first == last => first.to_string(),
            Self::Interval { first, last } => format!("{first} to {last}"),
            Self::Prefix { network, bits } => format!("{network}/{bits}"),
            Self::Signature { text, .. } => format!("…{text}…"),
            Self::File(digest) => digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Other => "?".to_owned(),
        }
    }

    /// First and last address of an address rule.
    pub fn bounds(&self) -> Option<(IpAddr, IpAddr)> {
        match *self {
            Self::Interval { first, last } => Some((first, last)),
            Self::Prefix { network: IpAddr::V4(first), bits } => {
                let last = first.to_bits() | u32::MAX.checked_shr(bits.into()).unwrap_or(0);
                Some((first.into(), IpAddr::V4(last.into())))
            }
            Self::Prefix { network: IpAddr::V6(first), bits } => {
                let last = first.to_bits() | u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                Some((first.into(), IpAddr::V6(last.into())))
            }
            _ => None,
        }
    }

    /// Every prefix that holds an address, longest first.
    pub fn prefixes_of(address: IpAddr) -> Vec<Self> {
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let network = |bits: u8| match address {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)).into()),
        };
        (0..=width).rev().map(|bits| Self::Prefix { network: network(bits), bits }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_every_prefix_from_itself_to_everything() {
        let prefixes = About::prefixes_of([192, 0, 2, 77].into());
        let told = |place: usize| prefixes[place].text();
        assert_eq!(
            (prefixes.len(), told(0).as_str(), told(8).as_str(), told(32).as_str()),
            (33, "192.0.2.77/32", "192.0.2.0/24", "0.0.0.0/0")
        );
        let bounds = |place: usize| prefixes[place].bounds().map(|(first, last)| format!("{first} {last}")).unwrap_or_default();
        assert_eq!([bounds(0), bounds(8), bounds(32)], ["192.0.2.77 192.0.2.77", "192.0.2.0 192.0.2.255", "0.0.0.0 255.255.255.255"]);
        let prefixes = About::prefixes_of("2001:db8::1".parse().expect("an address"));
        assert_eq!((prefixes.len(), prefixes[96].text().as_str(), prefixes[128].text().as_str()), (129, "2001:db8::/32", "::/0"));
    }
}
