//! SPDX licence expressions: `A OR (B AND C)`, the old spelling `A/B`, and `A WITH exception` as one name.
//!
//! ```text
//!  any  = all { "OR" all }      all = one { "AND" one }      one = "(" any ")" | NAME [ "WITH" NAME ]
//! ```
//! AND binds tighter (SPDX 2.3, annex D.4). What does not parse is not allowed.

/// Whether a choice exists that needs only allowed licences.
pub fn allows(allowed: &[&str], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allowed };
    parser.any() == Some(true) && parser.at == parser.words.len()
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn any(&mut self) -> Option<bool> {
        let mut found = self.all()?;
        while self.take("OR") {
            found |= self.all()?;
        }
        Some(found)
    }

    fn all(&mut self) -> Option<bool> {
        let mut found = self.one()?;
        while self.take("AND") {
            found &= self.one()?;
        }
        Some(found)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let found = self.any()?;
            return self.take(")").then_some(found);
        }
        let mut name = (*self.words.get(self.at)?).to_owned();
        self.at += 1;
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.words.get(self.at)?);
            self.at += 1;
        }
        Some(self.allowed.contains(&name.as_str()))
    }

    fn take(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at) == Some(&word);
        self.at += usize::from(here);
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: bool) {
        assert_eq!(allows(&["MIT", "Zlib", "Unicode-3.0"], expression), expected, "{expression}");
    }

    #[test]
    fn one_allowed_choice_suffices() {
        check("MIT", true);
        check("GPL-3.0-only", false);
        check("GPL-3.0-only OR MIT", true);
        check("Unlicense/MIT", true);
    }

    #[test]
    fn all_parts_of_a_conjunction_must_be_allowed() {
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("MIT AND GPL-3.0-only", false);
        check("Zlib AND MIT OR GPL-3.0-only", true);
    }

    #[test]
    fn an_exception_is_part_of_the_name() {
        check("MIT WITH some-exception", false);
    }

    #[test]
    fn what_does_not_parse_is_not_allowed() {
        check("", false);
        check("(MIT", false);
        check("MIT MIT", false);
        check("MIT OR", false);
    }
}
