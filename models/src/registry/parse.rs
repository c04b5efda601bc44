//! The registry's file: TOML, unknown keys refused, each mistake with its line and what would be right.

use super::raw::{RawFeatures, RawFile, RawGate, RawHead, RawModel, RawPopular};
use super::*;
use crate::native::HEADS_MAX;
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

impl MistakeAt {
    /// What is wrong, as far as it fits a line.
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: crate::error::shortened(what.into()) }
    }
}

impl fmt::Display for MistakeAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for MistakeAt {}

/// Reads a file. `categories` are the names of the category bits, lowest first: the tables have them.
pub fn parse(text: &str, categories: &[&str]) -> Result<Registry, MistakeAt> {
    if text.len() > FILE_BYTES_MAX {
        return Err(MistakeAt { line: 1, what: format!("{} bytes, {FILE_BYTES_MAX} at most", text.len()) });
    }
    if text.lines().next() != Some(MAGIC) {
        return Err(MistakeAt { line: 1, what: format!("a registry of models begins with `{MAGIC}`") });
    }
    let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at).collect();
    let reader = Reader { ends, categories };
    let raw: RawFile = toml::from_str(text).map_err(|error| reader.toml(&error))?;
    if *raw.sequence.get_ref() == 0 {
        return Err(reader.at(&raw.sequence, "the sequence begins with 1"));
    }
    if raw.model.len() > MODELS_MAX {
        return Err(MistakeAt { line: 1, what: format!("{} models, {MODELS_MAX} at most", raw.model.len()) });
    }
    let popular = raw.popular.as_ref().map(|popular| reader.popular(popular)).transpose()?;
    let (mut models, mut places) = (Vec::with_capacity(raw.model.len()), BTreeMap::new());
    for model in &raw.model {
        let entry = reader.entry(model, &places, &models)?;
        if places.insert(entry.name.clone(), models.len()).is_some() {
            return Err(reader.at(&model.get_ref().name, format!("a second model of the name `{}`", entry.name)));
        }
        models.push(entry);
    }
    let registry = Registry { sequence: *raw.sequence.get_ref(), popular, models };
    Router::new(&registry).map_err(|crowd| reader.at(&raw.model[crowd.model].get_ref().name, crowd.to_string()))?;
    Ok(registry)
}

struct Reader<'t> {
    /// Where lines end: each model asks for some.
    ends: Vec<usize>,
    categories: &'t [&'t str],
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|&end| end < at)
    }

    fn at<T>(&self, what: &Spanned<T>, why: impl Into<String>) -> MistakeAt {
        MistakeAt::new(self.line(what.span().start), why)
    }

    fn toml(&self, error: &toml::de::Error) -> MistakeAt {
        MistakeAt::new(error.span().map_or(1, |span| self.line(span.start)), error.message())
    }

    fn entry(&self, table: &Spanned<RawModel>, places: &BTreeMap<String, usize>, before: &[Entry]) -> Result<Entry, MistakeAt> {
        let raw = table.get_ref();
        self.name(&raw.name)?;
        if *raw.version.get_ref() == 0 {
            return Err(self.at(&raw.version, "versions begin with 1"));
        }
        let percent = *raw.cpu_percent.get_ref();
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(self.at(&raw.cpu_percent, "a share of more than 0 and at most 100 percent"));
        }
        Ok(Entry {
            name: raw.name.get_ref().clone(),
            version: *raw.version.get_ref(),
            file: self.file(&raw.file)?,
            sha256: self.sha256(&raw.sha256)?,
            subject: raw.kind,
            features: self.features(&raw.features, raw.kind)?,
            mode: raw.mode,
            cpu_share: (percent * 1000.0).ceil() as u32,
            expires_s: self.seconds(&raw.expires)?,
            gate: self.gate(raw, places, before)?,
            heads: self.heads(&raw.head)?,
            provenance: raw.provenance.clone(),
            line: self.line(table.span().start),
        })
    }

    fn popular(&self, table: &Spanned<RawPopular>) -> Result<PopularFile, MistakeAt> {
        let raw = table.get_ref();
        let margin = self.logit(&raw.margin)?;
        if margin < 0.0 {
            return Err(self.at(&raw.margin, "a margin is added to thresholds: 0 or more"));
        }
        Ok(PopularFile { file: self.file(&raw.file)?, sha256: self.sha256(&raw.sha256)?, margin, line: self.line(table.span().start) })
    }

    fn file(&self, file: &Spanned<String>) -> Result<String, MistakeAt> {
        let name = file.get_ref();
        if name.is_empty()
            || name.len() > 255
            || name.starts_with('.')
            || name.contains(|letter: char| letter == '/' || letter.is_control())
        {
            return Err(self.at(file, "the name of a file beside this one, without directories"));
        }
        Ok(name.clone())
    }

    fn sha256(&self, digits: &Spanned<String>) -> Result<[u8; 32], MistakeAt> {
        unhex(digits.get_ref()).ok_or_else(|| self.at(digits, "64 lower-case hexadecimal digits"))
    }

    /// Of text by bits and lengths of grams, of files by trees; never half of one.
    fn features(&self, table: &Spanned<RawFeatures>, kind: Subject) -> Result<Features, MistakeAt> {
        let raw = table.get_ref();
        self.name(&raw.name)?;
        let source = match (kind, raw) {
            (
                Subject::File,
                RawFeatures { bits: None, host_grams: None, rest_grams: None, trees: Some(file), trees_sha256: Some(sha256), .. },
            ) => Source::Trees { file: self.file(file)?, sha256: self.sha256(sha256)? },
            (Subject::File, _) => return Err(self.at(table, "features of a file have `name`, `trees` and `trees_sha256`")),
            (_, RawFeatures { bits: Some(bits), host_grams: Some(host), rest_grams: Some(rest), trees: None, trees_sha256: None, .. }) => {
                let spec = Spec::new(*bits, host, rest).filter(|spec| spec.host | spec.rest != 0);
                Source::Text(spec.ok_or_else(|| self.at(table, "bits are 8 to 20, grams have 1 to 5 bytes, and there are some"))?)
            }
            _ => return Err(self.at(table, "features of text have `name`, `bits`, `host_grams` and `rest_grams`")),
        };
        Ok(Features { name: raw.name.get_ref().clone(), source })
    }

    fn heads(&self, tables: &Spanned<Vec<RawHead>>) -> Result<Vec<Head>, MistakeAt> {
        let raw = tables.get_ref();
        if !(1..=HEADS_MAX).contains(&raw.len()) {
            return Err(self.at(tables, format!("{} heads, where a model has 1 to {HEADS_MAX}", raw.len())));
        }
        let mut heads: Vec<Head> = Vec::with_capacity(raw.len());
        for head in raw {
            self.name(&head.name)?;
            if heads.iter().any(|known| known.name == *head.name.get_ref()) {
                return Err(self.at(&head.name, format!("a second head of the name `{}`", head.name.get_ref())));
            }
            heads.push(self.head(head)?);
        }
        Ok(heads)
    }

    fn head(&self, raw: &RawHead) -> Result<Head, MistakeAt> {
        let threshold = |value: &Option<Spanned<f64>>| value.as_ref().map(|value| self.logit(value)).transpose();
        let (suspicious, malicious) = (threshold(&raw.suspicious)?, threshold(&raw.malicious)?);
        if let (Some(from), Some(at)) = (malicious, &raw.malicious) {
            match suspicious {
                None => return Err(self.at(at, "a head that says malicious says suspicious before: suspicious = …")),
                Some(before) if from < before => return Err(self.at(at, format!("below {before}, from which on it is suspicious"))),
                Some(_) => {}
            }
        }
        let categories = self.categories(&raw.categories)?;
        if categories == 0 && suspicious.is_some() {
            return Err(self.at(&raw.name, "of what does it suspect a key? categories = [\"…\"]"));
        }
        Ok(Head { name: raw.name.get_ref().clone(), categories, suspicious, malicious })
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

    fn logit(&self, value: &Spanned<f64>) -> Result<f32, MistakeAt> {
        let logit = *value.get_ref() as f32;
        if logit.abs() <= LOGIT_MAX { Ok(logit) } else { Err(self.at(value, format!("a logit: a number of -{LOGIT_MAX} to {LOGIT_MAX}"))) }
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
        let after = match &raw.gate {
            RawGate { after: None, head: None, band: None, .. } => None,
            RawGate { after: Some(after), head, band: Some(band), .. } => {
                let place = places.get(after.get_ref()).copied();
                let place = place.ok_or_else(|| self.at(after, format!("no model `{}` stands before this one", after.get_ref())))?;
                self.may_follow(after, raw, &before[place])?;
                Some(After { place, head: self.head_of(head.as_ref(), &before[place])?, band: self.band(band)? })
            }
            RawGate { after: Some(after), .. } => {
                return Err(self.at(after, "`after` needs a band of that model's logits: band = [-1.0, 5.0]"));
            }
            RawGate { band: Some(band), .. } => return Err(self.at(band, "a band of whose logits? after = \"…\"")),
            RawGate { head: Some(head), .. } => return Err(self.at(head, "a head of which model? after = \"…\"")),
        };
        Ok(Gate { tlds, after })
    }

    /// What would never be asked, or only when there is nothing else to do, is a mistake and not a cascade.
    fn may_follow(&self, after: &Spanned<String>, raw: &RawModel, before: &Entry) -> Result<(), MistakeAt> {
        let name = &before.name;
        if before.subject != raw.kind {
            return Err(self.at(after, format!("`{name}` is asked about keys of another kind")));
        }
        match (before.mode, raw.mode) {
            (_, Mode::Off) | (Mode::Enforce, _) | (Mode::Shadow, Mode::Shadow) => Ok(()),
            (Mode::Off, _) => Err(self.at(after, format!("`{name}` is off, so this one would never be asked"))),
            (Mode::Shadow, Mode::Enforce) => {
                Err(self
                    .at(after, format!("`{name}` is in shadow and dropped first under load: a model that is enforced cannot wait for it")))
            }
        }
    }

    fn head_of(&self, head: Option<&Spanned<String>>, before: &Entry) -> Result<Option<usize>, MistakeAt> {
        let Some(head) = head else { return Ok(None) };
        let place = before.heads.iter().position(|known| known.name == *head.get_ref());
        let place = place.ok_or_else(|| self.at(head, format!("`{}` has no head `{}`", before.name, head.get_ref())))?;
        Ok(Some(place))
    }

    /// Ends may be infinite.
    fn band(&self, band: &Spanned<[f64; 2]>) -> Result<[f32; 2], MistakeAt> {
        let [low, high] = band.get_ref().map(|end| end as f32);
        if low <= high { Ok([low, high]) } else { Err(self.at(band, "two logits, the lower end first")) }
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

    const SHA256: &str = "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";

    /// Keys of a table, some of them replaced or left out (an empty value).
    fn table(header: &str, fields: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
        let mut fields = fields.to_vec();
        for &(name, value) in changes {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            }
        }
        let lines = fields.iter().filter(|(_, value)| !value.is_empty());
        lines.fold(format!("{header}\n"), |text, (name, value)| text + name + " = " + value + "\n")
    }

    fn head(changes: &[(&str, &str)]) -> String {
        table("[[model.head]]", &[("name", "\"phishing\""), ("categories", "[\"phishing\"]"), ("suspicious", "5.82")], changes)
    }

    fn model_with(changes: &[(&str, &str)], heads: &[String]) -> String {
        let fields = [
            ("name", "\"url-first\""),
            ("version", "3"),
            ("file", "\"url-first-3.onnx\""),
            ("sha256", SHA256),
            ("kind", "\"url\""),
            ("features", "{ name = \"url-1\", bits = 15, host_grams = [2, 3, 4, 5], rest_grams = [3, 4] }"),
            ("mode", "\"shadow\""),
            ("cpu_percent", "10.0"),
            ("expires", "2027-05-01"),
            ("provenance", "{ data = [\"made up\"] }"),
        ];
        table("[[model]]", &fields, changes) + &heads.concat()
    }

    fn model(changes: &[(&str, &str)]) -> String {
        model_with(changes, &[head(&[])])
    }

    fn read(models: &[String]) -> Result<Registry, String> {
        parse(&format!("{MAGIC}\nsequence = 7\n{}", models.concat()), &CATEGORIES).map_err(|mistake| mistake.to_string())
    }

    fn told(models: &[String], why: &str) {
        let told = read(models).expect_err(why);
        assert!(told.contains(why) && told.starts_with("line "), "{why}: {told}");
    }

    fn refused(changes: &[(&str, &str)], why: &str) {
        told(&[model(changes)], why);
    }

    fn refused_head(changes: &[(&str, &str)], why: &str) {
        told(&[model_with(&[], &[head(changes)])], why);
    }

    const SECOND: (&str, &str) = ("name", "\"b\"");

    #[test]
    fn a_registry_is_read_as_it_is_written() {
        let heads = [head(&[("malicious", "12")]), head(&[("name", "\"quiet\""), ("suspicious", ""), ("categories", "[]")])];
        let registry = read(&[
            model_with(&[], &heads),
            model(&[SECOND, ("gate", "{ after = \"url-first\", head = \"quiet\", band = [-1, inf], tlds = [\"xyz\", \"top\"] }")]),
        ])
        .unwrap();
        assert_eq!((registry.sequence, registry.models.len(), registry.popular), (7, 2, None));
        let first = &registry.models[0];
        assert_eq!((first.cpu_share, first.expires_s, first.line), (10_000, 1_809_129_600, 3), "date --date 2027-05-01 +%s, in UTC");
        assert_eq!(first.features.source, Source::Text(Spec::new(15, &[2, 3, 4, 5], &[3, 4]).unwrap()));
        let head = |name: &str, categories, suspicious, malicious| Head { name: name.into(), categories, suspicious, malicious };
        assert_eq!(first.heads, [head("phishing", 2, Some(5.82), Some(12.0)), head("quiet", 0, None, None)]);
        let gate = &registry.models[1].gate;
        assert_eq!(gate.after, Some(After { place: 0, head: Some(1), band: [-1.0, f32::INFINITY] }));
        assert_eq!(gate.tlds, ["top", "xyz"]);
    }

    #[test]
    fn features_of_a_file_are_trees() {
        let features = format!("{{ name = \"pe-1\", trees = \"pe.trees.json\", trees_sha256 = {SHA256} }}");
        let registry = read(&[model(&[("kind", "\"file\""), ("features", &features)])]).unwrap();
        let Source::Trees { file, sha256 } = &registry.models[0].features.source else { panic!("not of a file") };
        assert_eq!((file.as_str(), sha256[1]), ("pe.trees.json", 0x11));
        refused(&[("features", &features)], "features of text have");
        refused(&[("kind", "\"file\"")], "features of a file have");
        refused(&[("kind", "\"file\""), ("features", &features.replace("pe.trees", "a/pe.trees"))], "without directories");
        refused(&[("kind", "\"file\""), ("features", &features), ("gate", "{ tlds = [\"top\"] }")], "a file has no top-level domain");
    }

    #[test]
    fn popular_names_have_a_margin() {
        let read = |margin: &str| {
            let text = format!("{MAGIC}\nsequence = 7\n[popular]\nfile = \"popular.txt\"\nsha256 = {SHA256}\nmargin = {margin}\n");
            parse(&text, &CATEGORIES).map_err(|mistake| mistake.to_string())
        };
        let popular = read("3.0").unwrap().popular.unwrap();
        assert_eq!((popular.file.as_str(), popular.margin, popular.line), ("popular.txt", 3.0, 3));
        assert_eq!(read("-0.5").unwrap_err(), "line 6: a margin is added to thresholds: 0 or more");
        assert!(read("nan").unwrap_err().starts_with("line 6: a logit"));
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
        refused(&[("expires", "\"soon\"")], "line 1");
        refused(&[("expires", "12:00:00")], "a day (2027-05-01)");
        refused(&[("features", "\"url-1\"")], "invalid type: string \"url-1\", expected a table: name, and how they are had");
        refused(&[("features", "{ name = \"url-1\", bits = 25, host_grams = [2], rest_grams = [] }")], "bits are 8 to 20");
        refused(&[("features", "{ name = \"url-1\", bits = 15, host_grams = [], rest_grams = [] }")], "there are some");
        refused(&[("gate", "{ tlds = [\".top\"] }")], "without a dot");
        assert_eq!(read(&[model(&[]), model(&[])]).unwrap_err(), "line 19: a second model of the name `url-first`");
        assert!(parse("sequence = 1", &CATEGORIES).unwrap_err().to_string().starts_with("line 1: a registry of models begins with"));
    }

    #[test]
    fn each_mistake_of_a_head_is_told_with_its_line() {
        refused_head(&[("suspicious", "nan")], "a logit");
        refused_head(&[("suspicious", "1e9")], "a logit: a number of -1000 to 1000");
        refused_head(&[("malicious", "5.0")], "below 5.82");
        refused_head(&[("malicious", "7.0"), ("suspicious", "")], "says suspicious before");
        refused_head(&[("categories", "[\"bad\"]")], "no category `bad`: malware, phishing, c2");
        refused_head(&[("categories", "[]")], "of what does it suspect");
        refused_head(&[("name", "\"\"")], "lower-case letters");
        told(&[model_with(&[], &[])], "missing field `head`");
        told(&[model_with(&[("head", "[]")], &[])], "0 heads, where a model has 1 to 8");
        told(&[model_with(&[], &[head(&[]), head(&[])])], "a second head of the name `phishing`");
    }

    #[test]
    fn each_mistake_of_a_cascade_is_told_with_its_line() {
        let gate = |first: &[(&str, &str)], gate: &str, mode: &str, why: &str| {
            told(&[model(first), model(&[SECOND, ("gate", gate), ("mode", mode)])], why)
        };
        let after = "{ after = \"url-first\", band = [0, 1] }";
        gate(&[], "{ after = \"none\", band = [0, 1] }", "\"shadow\"", "no model `none` stands before");
        gate(&[], "{ band = [0.1, 0.2] }", "\"shadow\"", "of whose logits");
        gate(&[], "{ head = \"phishing\" }", "\"shadow\"", "a head of which model");
        gate(&[], "{ after = \"url-first\" }", "\"shadow\"", "needs a band");
        gate(&[], "{ after = \"url-first\", head = \"none\", band = [0, 1] }", "\"shadow\"", "`url-first` has no head `none`");
        gate(&[], "{ after = \"url-first\", band = [1, 0] }", "\"shadow\"", "the lower end first");
        gate(&[], "{ after = \"url-first\", band = [nan, 0] }", "\"shadow\"", "the lower end first");
        gate(&[("kind", "\"host\"")], after, "\"shadow\"", "keys of another kind");
        gate(&[("mode", "\"off\"")], after, "\"shadow\"", "would never be asked");
        gate(&[], after, "\"enforce\"", "cannot wait for it");
        assert!(read(&[model(&[("mode", "\"off\"")]), model(&[SECOND, ("gate", after), ("mode", "\"off\"")])]).is_ok());
    }

    #[test]
    fn the_line_is_that_of_the_mistake() {
        let told = read(&[model(&[]), model_with(&[SECOND], &[head(&[("suspicious", "nan")])])]).unwrap_err();
        // Magic, sequence, two tables of ten and three keys with their headers; the last key of all.
        assert_eq!(told, "line 32: a logit: a number of -1000 to 1000");
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (date, days) in [((1970, 1, 1), 0), ((2000, 2, 29), 11016), ((2000, 3, 1), 11017), ((2100, 3, 1), 47541)] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), Some(days), "{date:?}");
        }
        assert_eq!(days_since_1970(1969, 12, 31), None);
    }
}
