//! The registry's file: TOML, unknown keys refused, each mistake with its line and what would be right.

use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;
use toml::value::Datetime;

/// A mistake, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MistakeAt {
    /// Of the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for MistakeAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for MistakeAt {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    sequence: Spanned<u64>,
    #[serde(default)]
    model: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: Spanned<String>,
    version: Spanned<u32>,
    file: Spanned<String>,
    sha256: Spanned<String>,
    kind: Subject,
    features: Spanned<String>,
    mode: Mode,
    cpu_percent: Spanned<f64>,
    suspicious: Spanned<f64>,
    malicious: Option<Spanned<f64>>,
    expires: Spanned<Datetime>,
    #[serde(default)]
    categories: Vec<Spanned<String>>,
    #[serde(default)]
    gate: RawGate,
    provenance: Provenance,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    #[serde(default)]
    tlds: Vec<Spanned<String>>,
    after: Option<Spanned<String>>,
    band: Option<Spanned<[f64; 2]>>,
}

/// Reads a file. `categories` are the names of the category bits, lowest first: the tables have them.
pub fn parse(text: &str, categories: &[&str]) -> Result<Registry, MistakeAt> {
    if text.len() > FILE_BYTES_MAX {
        return Err(MistakeAt { line: 1, what: format!("{} bytes, {FILE_BYTES_MAX} at most", text.len()) });
    }
    if text.lines().next() != Some(MAGIC) {
        return Err(MistakeAt { line: 1, what: format!("a registry of models begins with `{MAGIC}`") });
    }
    let raw: RawFile = toml::from_str(text).map_err(|error| Reader { text, categories }.toml(&error))?;
    let reader = Reader { text, categories };
    if *raw.sequence.get_ref() == 0 {
        return Err(reader.at(&raw.sequence, "the sequence begins with 1"));
    }
    if raw.model.len() > MODELS_MAX {
        return Err(MistakeAt { line: 1, what: format!("{} models, {MODELS_MAX} at most", raw.model.len()) });
    }
    let (mut models, mut places) = (Vec::with_capacity(raw.model.len()), BTreeMap::new());
    for model in &raw.model {
        let entry = reader.entry(model, &places, &models)?;
        if places.insert(entry.name.clone(), models.len()).is_some() {
            return Err(reader.at(&model.name, format!("a second model of the name `{}`", entry.name)));
        }
        models.push(entry);
    }
    let registry = Registry { sequence: *raw.sequence.get_ref(), models };
    Router::new(&registry).map_err(|crowd| reader.at(&raw.model[crowd.model].name, crowd.to_string()))?;
    Ok(registry)
}

struct Reader<'t> {
    text: &'t str,
    categories: &'t [&'t str],
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
    }

    fn at<T>(&self, what: &Spanned<T>, why: impl Into<String>) -> MistakeAt {
        MistakeAt { line: self.line(what.span().start), what: why.into() }
    }

    fn toml(&self, error: &toml::de::Error) -> MistakeAt {
        MistakeAt { line: error.span().map_or(1, |span| self.line(span.start)), what: error.message().to_owned() }
    }

    fn entry(&self, raw: &RawModel, places: &BTreeMap<String, usize>, before: &[Entry]) -> Result<Entry, MistakeAt> {
        self.name(&raw.name)?;
        self.name(&raw.features)?;
        if *raw.version.get_ref() == 0 {
            return Err(self.at(&raw.version, "versions begin with 1"));
        }
        if raw.file.get_ref().is_empty() || raw.file.get_ref().contains(['/', '\0']) || raw.file.get_ref().starts_with('.') {
            return Err(self.at(&raw.file, "the name of a file beside this one, without directories"));
        }
        let sha256 = unhex(raw.sha256.get_ref()).ok_or_else(|| self.at(&raw.sha256, "64 lower-case hexadecimal digits"))?;
        let percent = *raw.cpu_percent.get_ref();
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(self.at(&raw.cpu_percent, "a share of more than 0 and at most 100 percent"));
        }
        let suspicious = self.score(&raw.suspicious)?;
        let malicious = raw.malicious.as_ref().map(|from| self.score(from).map(|score| (from, score))).transpose()?;
        if let Some((from, score)) = malicious
            && score < suspicious
        {
            return Err(self.at(from, format!("below {suspicious}, from which on it is suspicious")));
        }
        Ok(Entry {
            name: raw.name.get_ref().clone(),
            version: *raw.version.get_ref(),
            file: raw.file.get_ref().clone(),
            sha256,
            subject: raw.kind,
            features: raw.features.get_ref().clone(),
            mode: raw.mode,
            cpu_share: (percent * 1000.0).ceil() as u32,
            suspicious,
            malicious: malicious.map(|(_, score)| score),
            expires_s: self.seconds(&raw.expires)?,
            categories: self.categories(&raw.categories)?,
            gate: self.gate(raw, places, before)?,
            provenance: raw.provenance.clone(),
        })
    }

    /// Names go into metrics and answers.
    fn name(&self, name: &Spanned<String>) -> Result<(), MistakeAt> {
        let text = name.get_ref();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(plain) {
            Ok(())
        } else {
            Err(self.at(name, "a name has 1 to 40 lower-case letters, digits and hyphens"))
        }
    }

    fn score(&self, value: &Spanned<f64>) -> Result<Score, MistakeAt> {
        Score::from_unit(*value.get_ref()).ok_or_else(|| self.at(value, "a score is a number of 0 to 1"))
    }

    fn categories(&self, names: &[Spanned<String>]) -> Result<u16, MistakeAt> {
        names.iter().try_fold(0, |bits, name| {
            let bit = self.categories.iter().position(|known| known == name.get_ref());
            let bit = bit.ok_or_else(|| self.at(name, format!("no category `{}`: {}", name.get_ref(), self.categories.join(", "))))?;
            Ok(bits | 1 << bit)
        })
    }

    fn gate(&self, raw: &RawModel, places: &BTreeMap<String, usize>, before: &[Entry]) -> Result<Gate, MistakeAt> {
        let mut tlds = Vec::with_capacity(raw.gate.tlds.len());
        for tld in &raw.gate.tlds {
            let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if tlds.len() == TLDS_MAX || tld.get_ref().is_empty() || tld.get_ref().len() > 63 || !tld.get_ref().bytes().all(label) {
                return Err(self.at(tld, format!("a top-level domain as hosts have it, without a dot; {TLDS_MAX} at most")));
            }
            tlds.push(tld.get_ref().clone());
        }
        tlds.sort();
        tlds.dedup();
        if !tlds.is_empty() && raw.kind == Subject::File {
            return Err(self.at(&raw.gate.tlds[0], "a file has no top-level domain"));
        }
        let after = match (&raw.gate.after, &raw.gate.band) {
            (None, None) => None,
            (Some(after), None) => return Err(self.at(after, "`after` needs a band of that model's scores: band = [0.2, 0.9]")),
            (None, Some(band)) => return Err(self.at(band, "a band of whose scores? after = \"…\"")),
            (Some(after), Some(band)) => {
                let place = places.get(after.get_ref()).copied();
                let place = place.ok_or_else(|| self.at(after, format!("no model `{}` stands before this one", after.get_ref())))?;
                if before[place].subject != raw.kind {
                    return Err(self.at(after, format!("`{}` is asked about keys of another kind", after.get_ref())));
                }
                let ends = band.get_ref().map(Score::from_unit);
                let [Some(low), Some(high)] = ends else { return Err(self.at(band, "scores are numbers of 0 to 1")) };
                if low > high {
                    return Err(self.at(band, "the lower end comes first"));
                }
                Some((place, [low, high]))
            }
        };
        Ok(Gate { tlds, after })
    }

    /// The beginning of a day, or a moment; UTC.
    fn seconds(&self, when: &Spanned<Datetime>) -> Result<u64, MistakeAt> {
        let wrong = || self.at(when, "a day (2027-05-01) or a moment in UTC (2027-05-01T12:00:00Z), from 1970 on");
        let Datetime { date: Some(date), time, offset } = *when.get_ref() else { return Err(wrong()) };
        let utc = matches!(offset, Some(toml::value::Offset::Z | toml::value::Offset::Custom { minutes: 0 }));
        if time.is_some() != offset.is_some() || offset.is_some() && !utc {
            return Err(wrong());
        }
        let days = days_since_1970(date.year.into(), date.month.into(), date.day.into()).ok_or_else(wrong)?;
        let of_day = time.map_or(0, |time| u64::from(time.hour) * 3600 + u64::from(time.minute) * 60 + u64::from(time.second.unwrap_or(0)));
        Ok(days * 86_400 + of_day)
    }
}

/// Days of the Gregorian calendar, counted in years that begin with March: the leap day is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    days.checked_sub(719_469)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATEGORIES: [&str; 3] = ["malware", "phishing", "c2"];

    fn model(changes: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("name", "\"url-first\""),
            ("version", "3"),
            ("file", "\"url-first-3.onnx\""),
            ("sha256", "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\""),
            ("kind", "\"url\""),
            ("features", "\"url-1\""),
            ("mode", "\"shadow\""),
            ("cpu_percent", "10.0"),
            ("suspicious", "0.97"),
            ("expires", "2027-05-01"),
            ("categories", "[\"phishing\"]"),
            ("provenance", "{ data = [\"made up\"] }"),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        fields.iter().fold("[[model]]\n".to_owned(), |text, (name, value)| text + name + " = " + value + "\n")
    }

    fn read(models: &[String]) -> Result<Registry, String> {
        parse(&format!("{MAGIC}\nsequence = 7\n{}", models.concat()), &CATEGORIES).map_err(|mistake| mistake.to_string())
    }

    fn refused(changes: &[(&str, &str)], why: &str) {
        let told = read(&[model(changes)]).unwrap_err();
        assert!(told.contains(why) && told.starts_with("line "), "{changes:?}: {told}");
    }

    #[test]
    fn a_registry_is_read_as_it_is_written() {
        let registry = read(&[
            model(&[("malicious", "0.999")]),
            model(&[("name", "\"b\""), ("gate", "{ after = \"url-first\", band = [0.2, 0.97] }")]),
        ])
        .unwrap();
        assert_eq!((registry.sequence, registry.models.len()), (7, 2));
        let first = &registry.models[0];
        assert_eq!(
            (first.suspicious, first.malicious, first.cpu_share, first.categories),
            (Score(970_000), Some(Score(999_000)), 10_000, 2)
        );
        assert_eq!(first.expires_s, 1_809_129_600, "date --date 2027-05-01 +%s, in UTC");
        assert_eq!(registry.models[1].gate.after, Some((0, [Score(200_000), Score(970_000)])));
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        refused(&[("nmae", "1")], "unknown field `nmae`");
        refused(&[("mode", "\"on\"")], "unknown variant `on`");
        refused(&[("name", "\"A b\"")], "lower-case letters");
        refused(&[("version", "0")], "versions begin with 1");
        refused(&[("file", "\"../x.onnx\"")], "without directories");
        refused(&[("sha256", "\"00\"")], "64 lower-case");
        refused(&[("cpu_percent", "0.0")], "more than 0");
        refused(&[("cpu_percent", "nan")], "more than 0");
        refused(&[("suspicious", "1.5")], "0 to 1");
        refused(&[("malicious", "0.5")], "below 0.970000");
        refused(&[("expires", "\"soon\"")], "line 1");
        refused(&[("expires", "12:00:00")], "a day (2027-05-01)");
        refused(&[("categories", "[\"bad\"]")], "no category `bad`: malware, phishing, c2");
        refused(&[("gate", "{ after = \"none\", band = [0, 1] }")], "no model `none` stands before");
        refused(&[("gate", "{ band = [0.1, 0.2] }")], "of whose scores");
        refused(&[("gate", "{ tlds = [\".top\"] }")], "without a dot");
        assert_eq!(read(&[model(&[]), model(&[])]).unwrap_err(), "line 17: a second model of the name `url-first`");
        assert!(parse("sequence = 1", &CATEGORIES).unwrap_err().to_string().starts_with("line 1: a registry of models begins with"));
    }

    #[test]
    fn the_line_is_that_of_the_mistake() {
        let told = read(&[model(&[]), model(&[("name", "\"b\""), ("suspicious", "-1.0")])]).unwrap_err();
        // Magic, sequence, twelve fields below a header, a header, and the field that was moved to the end.
        assert_eq!(told, "line 28: a score is a number of 0 to 1");
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (date, days) in [((1970, 1, 1), 0), ((2000, 2, 29), 11016), ((2000, 3, 1), 11017), ((2100, 3, 1), 47541)] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), Some(days), "{date:?}");
        }
        assert_eq!(days_since_1970(1969, 12, 31), None);
    }

    #[test]
    fn what_has_expired_or_is_off_says_nothing() {
        let mut entry = read(&[model(&[("malicious", "0.999")])]).unwrap().models.remove(0);
        let before = entry.expires_s - 1;
        assert_eq!(entry.says(Score(969_999), before), Says::Nothing);
        assert_eq!(entry.says(Score(970_000), before), Says::Suspicious);
        assert_eq!(entry.says(Score(999_000), before), Says::Malicious);
        assert_eq!(entry.says(Score::ONE, before + 1), Says::Nothing);
        entry.malicious = None;
        assert_eq!(entry.says(Score::ONE, before), Says::Suspicious, "unless the operator lets it");
        entry.mode = Mode::Off;
        assert_eq!(entry.says(Score::ONE, before), Says::Nothing);
    }
}
