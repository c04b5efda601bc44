//! Why one rule wins over another, in words: the precedence of docs/lookup.md, told for two rules at a time.

use super::about::About;
use super::reading::{Found, Reading};

/// Marks the winner and says of each match why it stands where it stands.
pub fn tell(reading: &mut Reading) {
    for one in reading.matches.iter_mut().filter(|one| one.off) {
        one.why = format!("it is switched off; it would say {}", one.found.standing());
    }
    let Some(winner) = reading.winner().map(|winner| winner.found.clone()) else { return };
    let next = reading.matches.get(1).filter(|next| !next.off).map(|next| next.found.clone());
    for (place, one) in reading.matches.iter_mut().filter(|one| !one.off).enumerate() {
        one.wins = place == 0;
        one.why = match (&next, one.wins) {
            (None, true) => "no other rule matches".to_owned(),
            (Some(next), true) => reason(&winner, next),
            (_, false) => reason(&winner, &one.found),
        };
    }
}

/// Why the first beats the second.
fn reason(winner: &Found, loser: &Found) -> String {
    let (strong, weak) = (winner.standing(), loser.standing());
    match winner.rank() {
        rank if rank == loser.rank() => format!("both say {strong}; {}", specific(&winner.about, &loser.about)),
        7 => format!("an unblock beats everything, here: {weak}"),
        6 => format!("an operator's block beats every rule, here: {weak}"),
        5 => format!("an override beats everything, here: {weak}"),
        4 => format!("an allow rule beats every listing, here: {weak}"),
        _ => format!("{strong} beats {weak}"),
    }
}

/// Why the first is the more specific one.
fn specific(winner: &About, loser: &About) -> String {
    use About::{File, Host, Interval, Prefix, Signature, Url};
    match (winner, loser) {
        (Url { path, prefix, host, own }, Url { path: other_path, prefix: other_prefix, host: other_host, .. }) => {
            let query = |path: &str| path.contains('?');
            match () {
                () if prefix != other_prefix => "an exact path is more specific than a path prefix".to_owned(),
                () if query(path) != query(other_path) => "a URL with its query is more specific than one without".to_owned(),
                () if path != other_path => format!("{path} is the longer path prefix"),
                () if host != other_host => format!("{host} is the longer host"),
                () if *own => "a rule on this very host is more specific than one on names below it".to_owned(),
                () => "they are equally specific".to_owned(),
            }
        }
        (Url { .. }, Host { .. }) => "a URL rule is more specific than a host rule".to_owned(),
        (Host { host, own }, Host { host: other, .. }) => match () {
            () if host != other => format!("{host} is the longer host"),
            () if *own => "a rule on this very host is more specific than one on names below it".to_owned(),
            () => "they are equally specific".to_owned(),
        },
        (Url { .. } | Host { .. }, Prefix { .. } | Interval { .. }) => {
            "a rule on the host or URL is more specific than one on its address".to_owned()
        }
        (Prefix { bits, .. }, Prefix { .. }) => format!("/{bits} is the longer prefix"),
        (Signature { text, token, .. }, Signature { text: other, token: other_token, .. }) => match () {
            () if text.len() != other.len() => format!("{text} is the longer signature"),
            () if token != other_token => "a whole word is more specific than a piece of one".to_owned(),
            () => "they are equally long: in the host before anywhere, then in the order of the snapshot".to_owned(),
        },
        (_, Signature { .. }) => "a signature is the least specific of rules".to_owned(),
        (File(_), _) => "it is about this very file".to_owned(),
        _ => "it is the more specific one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_tables::Class;

    fn host(host: &str, own: bool) -> About {
        About::Host { host: host.to_owned(), own }
    }

    fn url(path: &str, prefix: bool) -> About {
        About::Url { host: "a.test".to_owned(), path: path.to_owned(), own: true, prefix }
    }

    fn found(about: About, class: Class) -> Found {
        Found { about, class, allow: false, overrides: false, overlay: false }
    }

    #[test]
    fn a_higher_standing_is_named_before_anything_else() {
        let bad = found(host("a.test", false), Class::Malicious);
        let odd = found(url("/x?y", false), Class::Suspicious);
        let allow = Found { allow: true, class: Class::Clean, ..odd.clone() };
        let own = Found { overrides: true, ..odd.clone() };
        assert_eq!(reason(&bad, &odd), "malicious beats suspicious");
        assert_eq!(reason(&allow, &bad), "an allow rule beats every listing, here: malicious");
        assert_eq!(reason(&own, &allow), "an override beats everything, here: allow");
        let block = Found { overlay: true, ..own.clone() };
        let unblock = Found { overlay: true, overrides: true, ..allow };
        assert_eq!(reason(&block, &own), "an operator's block beats every rule, here: override");
        assert_eq!(reason(&unblock, &block), "an unblock beats everything, here: block");
    }

    #[test]
    fn equals_are_told_apart_by_what_they_are_about() {
        let check = |winner: About, loser: About, want: &str| {
            let told = reason(&found(winner, Class::Malicious), &found(loser, Class::Malicious));
            assert_eq!(told, format!("both say malicious; {want}"));
        };
        check(url("/x?y", false), url("/x", false), "a URL with its query is more specific than one without");
        check(url("/x/", false), url("/x/", true), "an exact path is more specific than a path prefix");
        check(url("/x/y/", true), url("/x/", true), "/x/y/ is the longer path prefix");
        check(url("/", true), host("a.test", true), "a URL rule is more specific than a host rule");
        check(host("b.a.test", false), host("a.test", false), "b.a.test is the longer host");
        check(host("a.test", true), host("a.test", false), "a rule on this very host is more specific than one on names below it");
        let prefix = |bits| About::Prefix { network: [192, 0, 2, 0].into(), bits };
        check(prefix(24), prefix(16), "/24 is the longer prefix");
    }
}
