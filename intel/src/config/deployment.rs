//! `[deployment]` and `[profile.NAME]`: which sources a place may hold.
//!
//! ```toml
//! [deployment]
//! profile = "sovereign"            # one of those below; without it everything is held
//! [profile.sovereign]
//! tlp_max = "amber"                # clear, green, amber, amber+strict, red
//! regions = ["eu", "world"]        # of `region` of feeds
//! licences = ["CC0-1.0"]           # of `licence` of feeds
//! ```
//! What a profile asks for and a feed does not state is refused: a promise about data that nobody knows is none. Refused feeds are not opened.

use super::walk::{Value, Walk};
use super::{Config, Feed};
use crate::read::Tlp;
use toml::de::DeTable;

/// Which sources may be held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// As `[deployment]` names it.
    pub name: String,
    /// The strictest marking that may be held; a row that is marked more strictly gives no rule.
    pub tlp_max: Option<Tlp>,
    /// Regions of which feeds may be held; empty: all.
    pub regions: Vec<String>,
    /// Licences under which feeds may be held; empty: all.
    pub licences: Vec<String>,
}

impl Profile {
    /// Why a feed may not be held, if it may not.
    pub fn refuses(&self, feed: &Feed) -> Option<String> {
        let listed = |list: &[String], what: &str| list.iter().any(|one| one.eq_ignore_ascii_case(what));
        match (self.tlp_max, feed.tlp) {
            (Some(max), Some(tlp)) if tlp > max => return Some(format!("TLP:{} is above TLP:{}", tlp.name(), max.name())),
            (Some(_), None) => return Some("its tlp is not stated".to_owned()),
            _ => {}
        }
        for (list, what, name) in [(&self.regions, &feed.region, "region"), (&self.licences, &feed.licence, "licence")] {
            if !list.is_empty() && what.is_empty() {
                return Some(format!("its {name} is not stated"));
            }
            if !list.is_empty() && !listed(list, what) {
                return Some(format!("its {name} {what:?} is not one of {}", list.join(", ")));
            }
        }
        None
    }
}

impl Config {
    /// The profile that `[deployment]` chose.
    pub fn profile(&self) -> Option<&Profile> {
        self.profiles.iter().find(|profile| Some(&profile.name) == self.deployment.as_ref())
    }
}

const TLPS: [(&str, Tlp); 5] =
    [("clear", Tlp::Clear), ("green", Tlp::Green), ("amber", Tlp::Amber), ("amber+strict", Tlp::AmberStrict), ("red", Tlp::Red)];

impl Walk<'_> {
    pub(super) fn deployment(&mut self, value: &Value<'_>) -> Option<String> {
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(value, "deployment is a table: [deployment]".into());
            return None;
        };
        let mut name = None;
        self.each(table, "[deployment]", &["profile"], |walk, _, value| name = walk.string(value, "profile"));
        name
    }

    pub(super) fn profiles(&mut self, value: &Value<'_>) -> Vec<Profile> {
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(value, "profiles are written [profile.NAME]".into());
            return Vec::new();
        };
        let mut profiles = Vec::new();
        for (name, value) in table.iter() {
            match value.get_ref().as_table() {
                Some(table) => profiles.push(self.profile(name.get_ref(), table)),
                None => self.mistake(value, "a profile is a table: [profile.NAME]".into()),
            }
        }
        profiles
    }

    fn profile(&mut self, name: &str, table: &DeTable<'_>) -> Profile {
        let mut profile = Profile { name: name.to_owned(), ..Profile::default() };
        self.each(table, "[profile]", &["tlp_max", "regions", "licences"], |walk, key, value| match key {
            "tlp_max" => profile.tlp_max = walk.tlp(value, "tlp_max"),
            "regions" => profile.regions = walk.strings(value, "regions"),
            _ => profile.licences = walk.strings(value, "licences"),
        });
        profile
    }

    pub(super) fn tlp(&mut self, value: &Value<'_>, key: &str) -> Option<Tlp> {
        self.word(value, key, &TLPS)
    }

    pub(super) fn strings(&mut self, value: &Value<'_>, key: &str) -> Vec<String> {
        let Some(array) = value.get_ref().as_array() else {
            self.mistake(value, format!("{key} is an array of texts"));
            return Vec::new();
        };
        array.iter().filter_map(|one| self.string(one, key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn profile() -> Profile {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Profile { name: "x".into(), tlp_max: Some(Tlp::Amber), regions: texts(&["eu"]), licences: texts(&["CC0-1.0"]) }
    }

    #[test]
    fn a_feed_is_held_only_where_it_states_all_that_is_asked_for() {
        let fits = Feed { tlp: Some(Tlp::Amber), region: "EU".into(), licence: "cc0-1.0".into(), ..Feed::new("f", "f") };
        assert_eq!(profile().refuses(&fits), None);
        assert_eq!(Profile::default().refuses(&Feed::new("f", "f")), None);
        for (feed, why) in [
            (Feed { tlp: Some(Tlp::Red), ..fits.clone() }, "TLP:RED is above TLP:AMBER"),
            (Feed { tlp: None, ..fits.clone() }, "its tlp is not stated"),
            (Feed { region: String::new(), ..fits.clone() }, "its region is not stated"),
            (Feed { region: "us".into(), ..fits.clone() }, "its region \"us\" is not one of eu"),
            (Feed { licence: "proprietary".into(), ..fits }, "its licence \"proprietary\" is not one of CC0-1.0"),
        ] {
            assert_eq!(profile().refuses(&feed).as_deref(), Some(why));
        }
    }

    #[test]
    fn a_deployment_names_a_profile_that_is_there() {
        let parse = |text: &str| Config::parse(&format!("{text}\n[[feed]]\nname = \"a\"\npath = \"a\"\n"), "feeds.toml", Path::new(""));
        let text = "[deployment]\nprofile = \"here\"\n[profile.here]\ntlp_max = \"amber\"\nregions = [\"eu\"]\nlicences = [\"CC0-1.0\"]\n[profile.there]";
        let config = parse(text).unwrap();
        assert_eq!(config.profile(), Some(&Profile { name: "here".into(), ..profile() }));
        assert_eq!(parse("[profile.here]").unwrap().profile(), None);
        let mistakes = parse("[deployment]\nprofile = \"elsewhere\"\n[profile.here]\ntlp_max = \"pink\"\nregion = 1").unwrap_err();
        let lines: Vec<usize> = mistakes.mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 4, 5], "{mistakes}");
    }
}
