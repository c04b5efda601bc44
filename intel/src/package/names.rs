//! Which files of a package are wanted: `members = ["*.json", "!drafts/*"]`.

/// Does a name fit one of the patterns, and none that begins with `!`? Without a pattern that asks for names, every name fits.
pub fn matches(name: &str, patterns: &[String]) -> bool {
    let (refusing, asking): (Vec<&str>, Vec<&str>) = patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
    let asked = asking.is_empty() || asking.iter().any(|pattern| fits(name.as_bytes(), pattern.as_bytes()));
    asked && !refusing.iter().any(|pattern| fits(name.as_bytes(), &pattern.as_bytes()[1..]))
}

/// `*` stands for any bytes, slashes too; `?` for one. Goes back to the last `*` only, so that a pattern costs its length times the name's at most.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut of, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(of) {
            Some(b'*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[at] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((pattern_at, name_at)) => {
                    (of, at) = (pattern_at + 1, name_at + 1);
                    star = Some((pattern_at, name_at + 1));
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_ask_for_names_and_refuse_them() {
        let check = |name: &str, patterns: &[&str], expected: bool| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            assert_eq!(matches(name, &patterns), expected, "{name} {patterns:?}");
        };
        check("a/b.json", &[], true);
        check("a/b.json", &["*.json"], true);
        check("a/b.json", &["b.json"], false);
        check("a/b.json", &["a/?.json"], true);
        check("a/b.json", &["*.json", "!a/*"], false);
        check("a/b.json", &["!*.txt"], true);
        check("aab", &["*ab"], true);
        check("ab", &["*a*b*"], true);
        check("", &["*"], true);
        check("a", &["?a"], false);
    }
}
