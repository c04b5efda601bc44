//! One spelling for each rule, and what a rule asks of the questions that are to find it.
//!
//! Rules that mean the same become equal here, before their digests are taken; what is no canonical form is refused, because no question would ever
//! have that text.

use std::net::IpAddr;

use verdict_keys::rule::{host_labels, path_depth};
use verdict_keys::{Profile, Unreachable};

use super::arena;
use crate::error::Error;
use crate::rule::{RULE_BYTES_MAX, Rule, address_of, embedded_v4};
use crate::signatures::text;

/// One spelling for rules that mean the same; refuses what is no canonical form.
pub(super) fn normal_form(rule: Rule<'_>) -> Result<Rule<'_>, Error> {
    match rule {
        Rule::Host { host, .. } => {
            check_host(host)?;
            match address_of(host) {
                // Questions for an address reach it by prefix, however they spell it.
                Some(network) => normal_form(Rule::Net { network, bits: if network.is_ipv4() { 32 } else { 128 } }),
                None => Ok(rule),
            }
        }
        Rule::Url { host, path_query, prefix, subdomains } => {
            check_host(host)?;
            check_path(path_query, prefix)?;
            if host.len() + path_query.len() > RULE_BYTES_MAX {
                return Err(Error::MalformedRule("longer than any question"));
            }
            // There is nothing below an address.
            Ok(Rule::Url { host, path_query, prefix, subdomains: subdomains && address_of(host).is_none() })
        }
        Rule::Net { network, bits } => normal_network(network, bits),
        Rule::File(_) => Ok(rule),
        Rule::Signature { text, .. } => match text::problem(text.as_bytes(), arena::kind_of(&rule)) {
            Some(problem) => Err(Error::MalformedRule(problem)),
            None => Ok(rule),
        },
    }
}

fn normal_network(network: IpAddr, bits: u8) -> Result<Rule<'static>, Error> {
    let (value, width) = match network {
        IpAddr::V4(network) => (u128::from(network.to_bits()) << 96, 32),
        IpAddr::V6(network) => (network.to_bits(), 128),
    };
    if bits > width {
        return Err(Error::MalformedRule("a prefix longer than the address"));
    }
    if value.checked_shl(bits.into()).unwrap_or(0) != 0 {
        return Err(Error::MalformedRule("host bits of the network are not zero"));
    }
    if let IpAddr::V6(v6) = network
        && let Some((v4, bits)) = embedded_v4(v6, bits)
    {
        return Ok(Rule::Net { network: v4.into(), bits });
    }
    Ok(Rule::Net { network, bits })
}

/// Catches callers that did not canonicalise. Not a validity check of names: keys decides what is canonical.
fn check_host(host: &str) -> Result<(), Error> {
    let problem = if host.is_empty() {
        "an empty host"
    } else if host.len() > RULE_BYTES_MAX {
        "longer than any question"
    } else if host.bytes().any(|byte| byte <= b' ' || byte >= 0x7F || byte.is_ascii_uppercase() || b"/?#@\\".contains(&byte)) {
        "a host that is not canonical"
    } else if host.starts_with('.') || host.ends_with('.') || host.contains("..") {
        "an empty label in the host"
    } else {
        return Ok(());
    };
    Err(Error::MalformedRule(problem))
}

fn check_path(path_query: &str, prefix: bool) -> Result<(), Error> {
    let problem = if !path_query.starts_with('/') {
        "a path that does not begin with /"
    } else if prefix && path_query.contains('?') {
        "a prefix with a query"
    } else if prefix && !path_query.ends_with('/') {
        "a prefix that does not end with /"
    } else {
        return Ok(());
    };
    Err(Error::MalformedRule(problem))
}

/// How far the questions of a full profile must reach for this rule to be found wherever it applies: labels of the host, slashes of the path.
/// Refuses a rule that questions under `profile` cannot reach.
pub(super) fn reach(rule: &Rule<'_>, profile: &Profile) -> Result<(usize, usize), Unreachable> {
    let (mut labels, mut depth) = (0, 0);
    if let Rule::Host { host, subdomains: true } | Rule::Url { host, subdomains: true, .. } = rule {
        profile.reaches_subdomains(host, false)?; // an address has no subdomains: normal_form
        labels = host_labels(host);
    }
    if let Rule::Url { path_query, prefix: true, .. } = rule {
        profile.reaches_prefix(path_query)?;
        depth = path_depth(path_query);
    }
    Ok((labels, depth))
}
