//! The formats that can be read, by the names that feeds.toml and `--format` use, and what each means unless the operator says otherwise.

use crate::categories;
use serde::{Serialize, Serializer};
use verdict_tables::Class;

/// A format of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// One indicator a line, kinds mixed.
    List,
    /// One URL a line.
    UrlList,
    /// One host a line.
    HostList,
    /// One address, prefix or address:port a line.
    AddressList,
    /// One digest a line.
    HashList,
    /// `0.0.0.0 name name`
    Hosts,
    /// Addresses and prefixes as ipset tools write them.
    Netset,
    /// `digest;comment`
    HashComment,
    /// `hash,type,source,family` with a header, by commas or tabs.
    HashTable,
    /// abuse.ch URLhaus `csv_online`, `csv_recent`.
    UrlhausCsv,
    /// abuse.ch ThreatFox CSV of 14 or 15 columns.
    ThreatfoxCsv,
    /// abuse.ch Feodo Tracker CSV.
    FeodoCsv,
    /// PhishTank CSV.
    PhishtankCsv,
    /// A history of OpenPhish's list: `first_seen last_seen snapshots url`.
    OpenphishTsv,
    /// Maltrail's trails: `class family indicator reference`.
    MaltrailTsv,
    /// urlhaus-filter's history: `first_seen last_seen snapshots type indicator`.
    UrlhausFilterTsv,
    /// One text a line, looked for in host names.
    HostSubstringList,
    /// One text a line, looked for in URLs.
    UrlSubstringList,
    /// One word a line, looked for in host names.
    HostTokenList,
    /// One word a line, looked for in URLs.
    UrlTokenList,
    /// abuse.ch MalwareBazaar CSV.
    MalwarebazaarCsv,
    /// abuse.ch SSLBL, the list of addresses.
    SslblCsv,
    /// Maltrail's trails as published, a family a file.
    MaltrailList,
    /// Network rules of ad blockers.
    Adblock,
    /// A response policy zone.
    Rpz,
    /// `address=/name/0.0.0.0`
    Dnsmasq,
    /// `local-zone: "name" always_nxdomain`
    Unbound,
    /// `zone "name" { type master; … };`
    BindZones,
    /// Internet Explorer's `-d name`.
    ProtectionList,
    /// Rules of Suricata and Snort.
    IdsRules,
    /// Suricata's `address,category,reputation`.
    IpReputation,
    /// STIX 2.0 and 2.1, TAXII envelopes.
    Stix,
    /// MISP events.
    Misp,
    /// MISP's CSV export.
    MispCsv,
    /// What is well known and mostly harmless, for allow feeds.
    MispWarninglist,
    /// abuse.ch URLhaus JSON.
    UrlhausJson,
    /// abuse.ch ThreatFox JSON.
    ThreatfoxJson,
    /// abuse.ch Feodo Tracker JSON.
    FeodoJson,
    /// abuse.ch MalwareBazaar JSON.
    MalwarebazaarJson,
    /// PhishTank JSON.
    PhishtankJson,
    /// OpenPhish JSON.
    OpenphishJson,
    /// Our own: one object a line.
    Ndjson,
    /// Columns as declared in `[feed.columns]`.
    Csv,
}

/// What a format means where neither the row nor the operator says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Class of a verdict.
    pub class: Class,
    /// Its categories.
    pub categories: u16,
    /// 0-100
    pub confidence: u8,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
    /// Do host rules cover the names below?
    pub subdomains: bool,
}

/// Score where nothing else is said.
pub fn default_score(class: Class) -> u8 {
    match class {
        Class::Malicious => 90,
        Class::Suspicious => 50,
        Class::Clean | Class::Unknown => 0,
    }
}

const HOUR_S: u32 = 3600;
const DAY_S: u32 = 24 * HOUR_S;

impl Format {
    /// All of them, in the order of the manual.
    pub const ALL: [Format; 43] = [
        Format::List,
        Format::UrlList,
        Format::HostList,
        Format::AddressList,
        Format::HashList,
        Format::Hosts,
        Format::Netset,
        Format::HashComment,
        Format::HashTable,
        Format::UrlhausCsv,
        Format::ThreatfoxCsv,
        Format::FeodoCsv,
        Format::PhishtankCsv,
        Format::OpenphishTsv,
        Format::MaltrailTsv,
        Format::UrlhausFilterTsv,
        Format::HostSubstringList,
        Format::UrlSubstringList,
        Format::HostTokenList,
        Format::UrlTokenList,
        Format::MalwarebazaarCsv,
        Format::SslblCsv,
        Format::MaltrailList,
        Format::Adblock,
        Format::Rpz,
        Format::Dnsmasq,
        Format::Unbound,
        Format::BindZones,
        Format::ProtectionList,
        Format::IdsRules,
        Format::IpReputation,
        Format::Stix,
        Format::Misp,
        Format::MispCsv,
        Format::MispWarninglist,
        Format::UrlhausJson,
        Format::ThreatfoxJson,
        Format::FeodoJson,
        Format::MalwarebazaarJson,
        Format::PhishtankJson,
        Format::OpenphishJson,
        Format::Ndjson,
        Format::Csv,
    ];

    /// As written in feeds.toml.
    pub fn name(self) -> &'static str {
        match self {
            Format::List => "list",
            Format::UrlList => "url-list",
            Format::HostList => "host-list",
            Format::AddressList => "address-list",
            Format::HashList => "hash-list",
            Format::Hosts => "hosts",
            Format::Netset => "netset",
            Format::HashComment => "hash-comment",
            Format::HashTable => "hash-table",
            Format::UrlhausCsv => "urlhaus-csv",
            Format::ThreatfoxCsv => "threatfox-csv",
            Format::FeodoCsv => "feodo-csv",
            Format::PhishtankCsv => "phishtank-csv",
            Format::OpenphishTsv => "openphish-tsv",
            Format::MaltrailTsv => "maltrail-tsv",
            Format::UrlhausFilterTsv => "urlhaus-filter-tsv",
            Format::HostSubstringList => "host-substring-list",
            Format::UrlSubstringList => "url-substring-list",
            Format::HostTokenList => "host-token-list",
            Format::UrlTokenList => "url-token-list",
            Format::MalwarebazaarCsv => "malwarebazaar-csv",
            Format::SslblCsv => "sslbl-csv",
            Format::MaltrailList => "maltrail-list",
            Format::Adblock => "adblock",
            Format::Rpz => "rpz",
            Format::Dnsmasq => "dnsmasq",
            Format::Unbound => "unbound",
            Format::BindZones => "bind-zones",
            Format::ProtectionList => "protection-list",
            Format::IdsRules => "ids-rules",
            Format::IpReputation => "ip-reputation",
            Format::Stix => "stix",
            Format::Misp => "misp",
            Format::MispCsv => "misp-csv",
            Format::MispWarninglist => "misp-warninglist",
            Format::UrlhausJson => "urlhaus-json",
            Format::ThreatfoxJson => "threatfox-json",
            Format::FeodoJson => "feodo-json",
            Format::MalwarebazaarJson => "malwarebazaar-json",
            Format::PhishtankJson => "phishtank-json",
            Format::OpenphishJson => "openphish-json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        }
    }

    /// Is it read as one document, whose rows are objects, and not line by line?
    pub fn is_document(self) -> bool {
        crate::read::document(self, false).is_some()
    }

    /// The format of a name.
    pub fn by_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What it means unless said otherwise.
    ///
    /// Subdomains: a list of hosts is a list of names that are bad with everything below them, as resolvers and filters take it.
    /// A hosts file lists exactly the names in it (hosts(5) has no other meaning), and in a mixed list nothing says what a name
    /// stands for, so that there, too, a rule covers the name alone. Zones, unbound, detection rules and
    /// our own format say it themselves, row by row. STIX and MISP name what was seen, which is that name.
    pub fn defaults(self) -> Defaults {
        let (categories, confidence, ttl_s) = match self {
            Format::List | Format::UrlList | Format::HostList | Format::Csv | Format::Hosts => (0, 50, HOUR_S),
            Format::AddressList | Format::Netset => (0, 50, HOUR_S),
            Format::HostSubstringList | Format::UrlSubstringList | Format::HostTokenList | Format::UrlTokenList => (0, 50, HOUR_S),
            Format::HashList | Format::HashComment | Format::HashTable => (categories::MALWARE, 70, DAY_S),
            Format::UrlhausCsv | Format::UrlhausJson => (categories::MALWARE, 90, HOUR_S),
            Format::ThreatfoxCsv | Format::ThreatfoxJson => (categories::MALWARE, 75, HOUR_S),
            Format::FeodoCsv | Format::FeodoJson => (categories::C2, 90, HOUR_S),
            Format::PhishtankCsv | Format::PhishtankJson | Format::OpenphishTsv | Format::OpenphishJson => {
                (categories::PHISHING, 85, HOUR_S)
            }
            Format::MaltrailTsv | Format::MaltrailList => (0, 60, HOUR_S),
            Format::MalwarebazaarCsv | Format::MalwarebazaarJson => (categories::MALWARE, 90, DAY_S),
            Format::Stix | Format::Misp | Format::MispCsv => (0, 60, HOUR_S),
            Format::MispWarninglist | Format::Ndjson => (0, 50, HOUR_S),
            Format::SslblCsv => (categories::C2, 90, HOUR_S),
            Format::Adblock | Format::Rpz | Format::Dnsmasq | Format::Unbound | Format::BindZones => (0, 50, HOUR_S),
            Format::ProtectionList | Format::IdsRules | Format::IpReputation => (0, 50, HOUR_S),
            Format::UrlhausFilterTsv => (categories::MALWARE, 70, HOUR_S),
        };
        let exact = [
            Format::List,
            Format::Hosts,
            Format::Rpz,
            Format::Unbound,
            Format::IdsRules,
            Format::Stix,
            Format::Misp,
            Format::MispCsv,
            Format::MispWarninglist,
            Format::Ndjson,
        ];
        let subdomains = !exact.contains(&self);
        Defaults { class: Class::Malicious, categories, confidence, ttl_s, subdomains }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for format in Format::ALL {
            assert_eq!(Format::by_name(format.name()), Some(format));
        }
        assert_eq!(Format::by_name("URLHAUS-CSV"), None);
    }
}
