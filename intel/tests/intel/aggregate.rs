//! `ipv6_aggregate` from feeds to answers: what it lists, what it leaves alone, and that nothing happens without it.

use std::path::PathBuf;

use verdict_intel::store::beside;
use verdict_intel::{Config, Report, compile_to};
use verdict_simd::detect;
use verdict_tables::{Class, Snapshot};

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const FEEDS: &str = r#"
    [[feed]]
    name = "one"
    path = "one.txt"
    format = "netset"
    class = "malicious"
    [[feed]]
    name = "two"
    path = "two.txt"
    format = "netset"
    class = "malicious"
    [[feed]]
    name = "good"
    path = "good.txt"
    format = "netset"
    action = "allow"
"#;

fn compile(name: &str, snapshot: &str) -> (Report, Snapshot) {
    let folder = Folder(std::env::temp_dir().join(format!("verdict-aggregate-{}-{name}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.0.join(file), text).unwrap();
    write("one.txt", "2001:db8:0:7::1\n2001:db8:0:7::2\n2001:db8:0:9::1\n2001:db8:0:9::2\n2001:db8:0:9::3\n2001:db8:0:5::1\n");
    write("two.txt", "2001:db8:0:7::2\n2001:db8:0:7::f00d\n192.0.2.1\n192.0.2.2\n192.0.2.3\n");
    write("good.txt", "2001:db8:0:9::c1ea\n");
    let config = Config::parse(&format!("[snapshot]\n{snapshot}\n{FEEDS}"), "feeds.toml", &folder.0).unwrap();
    let output = folder.0.join("out.snap");
    let report =
        compile_to(detect().unwrap(), &config, &output, Some(&beside(&output)), &mut ()).unwrap_or_else(|refused| panic!("{refused}"));
    (report, Snapshot::load(&output).unwrap())
}

fn ask(snapshot: &Snapshot, address: &str) -> (Option<Class>, Vec<String>) {
    let address: std::net::Ipv6Addr = address.parse().unwrap();
    let mut ids = [0];
    snapshot.ids_v6(detect().unwrap(), &[address.to_bits()], &mut ids);
    let described = snapshot.describe(ids[0]);
    let sources = described.iter().flat_map(|described| described.sources()).map(|source| source.name.to_owned()).collect();
    (described.map(|described| described.class), sources)
}

#[test]
fn three_addresses_of_a_network_list_it_in_the_names_of_their_feeds() {
    let (report, snapshot) = compile("on", "ipv6_aggregate = { bits = 64, hits = 3 }");
    assert_eq!((report.ipv6_aggregated.networks, report.ipv6_aggregated.votes, report.ipv6_aggregated.beside_allowed), (1, 2, 1));
    let both = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(ask(&snapshot, "2001:db8:0:7:dead:beef::"), (Some(Class::Malicious), both.clone()));
    assert_eq!(ask(&snapshot, "2001:db8:0:7::1"), (Some(Class::Malicious), both[..1].to_vec()), "the longer prefix has its own sources");
    assert_eq!(ask(&snapshot, "2001:db8:0:8::"), (None, vec![]), "the next network");
    assert_eq!(ask(&snapshot, "2001:db8:0:5::2"), (None, vec![]), "one address is not three");
    assert_eq!(ask(&snapshot, "2001:db8:0:9::4"), (None, vec![]), "an address of it is allowed");
    assert_eq!(ask(&snapshot, "2001:db8:0:9::c1ea").0, Some(Class::Clean));
}

#[test]
fn without_the_policy_only_what_is_listed_is_listed() {
    let (report, snapshot) = compile("off", "");
    assert_eq!(report.ipv6_aggregated, Default::default());
    assert_eq!(ask(&snapshot, "2001:db8:0:7::3"), (None, vec![]));
    assert_eq!(ask(&snapshot, "2001:db8:0:7::f00d").0, Some(Class::Malicious));
}
