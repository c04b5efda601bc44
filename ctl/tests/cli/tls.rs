//! TLS to a whole daemon: questions and pages over it, and what is said where a connection is not let in.
//!
//! Certificates are made by openssl's command; without it these tests say that they skip.

use crate::fake::{Ran, verdictctl};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use verdictd::Daemon;
use verdictd::config::Config;

const TOKEN: &str = "0123456789abcdef";

/// Files of a test, which go away; and the authority whose key lies among them.
struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// With an authority `ca`, certificates `daemon` and `us` of it, and a stranger's authority `other` with a certificate `stranger`; none without openssl.
    fn new(name: &str) -> Option<Self> {
        if !Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: certificates need the command openssl");
            return None;
        }
        let stage = Stage(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-tls-{name}", std::process::id())));
        std::fs::create_dir_all(&stage.0).unwrap();
        for (authority, names) in [("ca", &["daemon", "us"][..]), ("other", &["stranger"])] {
            stage.openssl(authority, "basicConstraints=critical,CA:TRUE", None);
            for name in names {
                stage.openssl(name, &format!("subjectAltName=DNS:{name}.example"), Some(authority));
            }
        }
        Some(stage)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, name: &str, extension: &str, by: Option<&str>) {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
        command.args(["-subj", &format!("/CN={name}"), "-addext", extension]);
        command.args(["-keyout", &self.path(&format!("{name}.key")), "-out", &self.path(&format!("{name}.pem"))]);
        if let Some(by) = by {
            command.args(["-CA", &self.path(&format!("{by}.pem")), "-CAkey", &self.path(&format!("{by}.key"))]);
            command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// One that lists evil.test. `tls`: speaks nothing else; `client_ca`: and wants certificates.
    fn daemon(&self, tls: bool, client_ca: bool) -> Daemon {
        std::fs::write(self.0.join("hosts.txt"), "evil.test\n").unwrap();
        let (snapshot, feed) = (self.path("served.snap"), self.path("hosts.txt"));
        assert_eq!(verdictctl(&["compile", &feed, "-o", &snapshot, "--format", "host-list", "--no-store"]).status, 0);
        std::fs::write(self.0.join("token"), TOKEN).unwrap();
        let mut config = Config::serving(snapshot);
        config.shards.count = 1;
        config.listen.tcp = vec![([127, 0, 0, 1], 0).into()];
        config.listen.admin = ([127, 0, 0, 1], 0).into();
        config.listen.unix = PathBuf::new();
        config.admin.token = self.0.join("token");
        if tls {
            (config.tls.certificate, config.tls.key) = (self.0.join("daemon.pem"), self.0.join("daemon.key"));
        }
        if client_ca {
            config.tls.client_ca = self.0.join("ca.pem");
        }
        assert_eq!(config.check(), Vec::<String>::new());
        Daemon::start(&config, false).expect("the daemon starts")
    }

    /// Options: whom to trust, whom to show.
    fn options(&self, trusted: &str, shown: Option<&str>) -> Vec<String> {
        let mut options = vec!["--tls-ca".to_owned(), self.path(trusted), "--tls-name".to_owned(), "daemon.example".to_owned()];
        for (option, end) in [("--tls-certificate", "pem"), ("--tls-key", "key")] {
            options.extend(shown.into_iter().flat_map(|name| [option.to_owned(), self.path(&format!("{name}.{end}"))]));
        }
        options
    }

    fn top(&self, daemon: &Daemon, more: &[String]) -> Ran {
        let (admin, token) = (daemon.admin.to_string(), self.path("token"));
        run(&["top", "--count", "1", "--interval", "0.1", "--admin", &admin, "--token-file", &token], more)
    }
}

fn end(daemon: Daemon) {
    daemon.drain();
    daemon.join().expect("the daemon ends");
}

fn run(arguments: &[&str], more: &[String]) -> Ran {
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    verdictctl(&[arguments, &more].concat())
}

fn lookup(daemon: &Daemon, more: &[String]) -> Ran {
    let connect = daemon.tcp[0].to_string();
    run(&["lookup", "--connect", &connect, "a.evil.test"], more)
}

#[track_caller]
fn fails(ran: &Ran, status: i32, words: &[&str]) {
    assert_eq!((ran.status, ran.stdout.as_str()), (status, ""), "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not in {}", ran.stderr);
    }
    assert_eq!(ran.stderr.lines().count(), 1, "one line: {}", ran.stderr);
}

#[test]
fn every_question_goes_over_tls_and_shows_a_certificate_where_one_is_wanted() {
    let Some(stage) = Stage::new("asked") else { return };
    for client_ca in [false, true] {
        let daemon = stage.daemon(true, client_ca);
        let options = stage.options("ca.pem", client_ca.then_some("us"));
        let connect = daemon.tcp[0].to_string();
        let cases: [(&[&str], i32, &str); 6] = [
            (&["lookup", "--connect", &connect, "a.evil.test"], 1, "malicious"),
            (&["explain", "--connect", &connect, "a.evil.test"], 1, "evil.test"),
            (&["ask", "--connect", &connect, &crate::fake::file("tls.tsv", b"a.evil.test\tmalicious\n")], 0, "1 as expected"),
            (&["describe", "--connect", &connect, "1"], 0, "hosts"),
            (&["hello", "--connect", &connect], 0, "verdictd/"),
            (&["ping", "--connect", &connect], 0, "10 round trips"),
        ];
        for (arguments, status, said) in cases {
            let ran = run(arguments, &options);
            assert_eq!((ran.status, ran.stderr.as_str()), (status, ""), "{arguments:?}");
            assert!(ran.stdout.contains(said), "{arguments:?}: {}", ran.stdout);
        }
        let ran = stage.top(&daemon, &options);
        assert!(ran.status == 0 && ran.stdout.contains("answers/s"), "{}{}", ran.stdout, ran.stderr);
        end(daemon);
    }
}

#[test]
fn many_frames_go_over_tls_as_in_the_open() {
    let Some(stage) = Stage::new("many") else { return };
    let (secret, plain) = (stage.daemon(true, false), stage.daemon(false, false));
    let names: String = (0..20_000).map(|number| format!("h{number}.{}.test\n", if number % 7 == 0 { "evil" } else { "other" })).collect();
    let ask = |daemon: &Daemon, more: &[String]| {
        let connect = daemon.tcp[0].to_string();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let arguments = [&["lookup", "--connect", &connect, "-"][..], &more].concat();
        let ran = crate::fake::verdictctl_reading(&arguments, names.as_bytes());
        assert_eq!((ran.status, ran.stderr.as_str()), (1, ""));
        ran.stdout.lines().filter(|line| line.starts_with('h')).map(str::to_owned).collect::<Vec<_>>()
    };
    let (over_tls, in_the_open) = (ask(&secret, &stage.options("ca.pem", None)), ask(&plain, &[]));
    assert_eq!(over_tls.len(), 20_000);
    assert!(over_tls == in_the_open);
    end(secret);
    end(plain);
}

#[test]
fn whoever_is_not_trusted_is_told_by_whom_and_why() {
    let Some(stage) = Stage::new("refused") else { return };
    let daemon = stage.daemon(true, true);
    let both = |more: &[String], status: i32, words: &[&str]| {
        fails(&lookup(&daemon, more), status, words);
        fails(&stage.top(&daemon, more), status, words);
    };
    both(&stage.options("other.pem", Some("us")), 3, &["its certificate is of no authority in", "other.pem"]);
    let unnamed: Vec<String> =
        stage.options("ca.pem", Some("us")).into_iter().filter(|option| option != "--tls-name" && option != "daemon.example").collect();
    both(&unnamed, 3, &["not of `127.0.0.1` but of daemon.example: --tls-name"]);
    both(&stage.options("ca.pem", None), 3, &["it wants a certificate of whoever asks: --tls-certificate FILE --tls-key FILE"]);
    both(&stage.options("ca.pem", Some("stranger")), 3, &["it does not take the certificate", "stranger.pem", "alert"]);
    end(daemon);
}

#[test]
fn plain_speech_meets_tls_and_tls_plain_speech_and_both_are_told() {
    let Some(stage) = Stage::new("mixed") else { return };
    let (secret, plain) = (stage.daemon(true, false), stage.daemon(false, false));
    fails(&lookup(&secret, &[]), 76, &["speaks TLS", "--tls-ca FILE"]);
    fails(&stage.top(&secret, &[]), 76, &["speaks TLS", "--tls-ca FILE"]);
    let options = stage.options("ca.pem", None);
    fails(&lookup(&plain, &options), 76, &["it does not speak TLS there"]);
    fails(&stage.top(&plain, &options), 76, &["it does not speak TLS there"]);
    end(secret);
    end(plain);
}

#[test]
fn files_that_cannot_be_are_named_before_anybody_is_asked() {
    let Some(stage) = Stage::new("files") else { return };
    std::fs::write(stage.0.join("empty.pem"), "no certificate\n").unwrap();
    std::fs::write(stage.0.join("half.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let ask = |options: &[String]| run(&["ping", "--connect", "127.0.0.1:1"], options);
    fails(&ask(&stage.options("empty.pem", None)), 65, &["--tls-ca", "empty.pem: no certificate in PEM"]);
    fails(&ask(&stage.options("half.pem", None)), 65, &["--tls-ca", "half.pem"]);
    fails(&ask(&stage.options("nowhere.pem", None)), 66, &["--tls-ca", "nowhere.pem"]);
    let mut mismatched = stage.options("ca.pem", Some("us"));
    *mismatched.last_mut().unwrap() = stage.path("stranger.key");
    fails(&ask(&mismatched), 65, &["stranger.key is not the key of", "us.pem"]);
    let alone = ["--tls-certificate".to_owned(), stage.path("us.pem")];
    assert_eq!(ask(&alone).status, 2, "a certificate without its key and whom to trust");
}
