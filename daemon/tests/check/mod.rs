//! `verdictd --check` beside a daemon that serves: a line for each part, and for each part that is damaged the one line that says so.

use crate::certificates::{Authority, has_openssl};
use crate::support::{Models, Scratch, Site, entry, start, stop, write_snapshot};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use verdict_tables::Class;
use verdict_wire::{self as wire, Act, ActRequest, KeyKind, Outcome, TOLD_BYTES_MAX, Told};
use verdictd::config::Config;

/// Everything that a configuration may name, sound; and a daemon has served it.
struct Stage {
    config: Config,
    scratch: Scratch,
    site: Site,
    _models: Models,
    _authority: Option<Authority>,
}

fn act(config: &Config, act: Act, kind: Option<KeyKind>, key: &[u8], ttl_s: u32) {
    let mut stream = UnixStream::connect(&config.listen.control).unwrap();
    let mut message = Vec::new();
    let class = if act == Act::Block { wire::Class::Malicious } else { wire::Class::Unknown };
    ActRequest { act, kind, class, ttl_s, key, reason: "a test" }.encode(&mut message);
    stream.write_all(&message).unwrap();
    let message = wire::read_message(&mut stream, TOLD_BYTES_MAX).unwrap();
    let told = Told::decode(&message).unwrap();
    assert_eq!(told.outcome, Outcome::Done, "{}", told.text);
}

impl Stage {
    fn new() -> Self {
        let (scratch, site, models) = (Scratch::new(), Site::new(), Models::new());
        site.publish(7, "marker-one.test", &|_| {});
        models.publish(3, &entry("url", "url", "enforce", ["0.0", "0.0"]));
        let mut config = site.config();
        models.configure(&mut config);
        config.listen.control = scratch.join("control.sock");
        config.shadow.snapshot = scratch.join("candidate.snap");
        write_snapshot(&config.shadow.snapshot, "marker-two.test", Class::Malicious);
        let authority = has_openssl().then(Authority::new);
        if let Some(authority) = &authority {
            let pair = authority.issue("daemon", "DNS:daemon.example");
            (config.tls.certificate, config.tls.key) = (pair.certificate, pair.key);
        }
        let daemon = start(&config);
        act(&config, Act::Block, Some(KeyKind::Host), b"blocked.test", 3600);
        act(&config, Act::Off, None, b"feed unit test", 0);
        stop(daemon);
        Stage { config, scratch, site, _models: models, _authority: authority }
    }

    /// Status, and the lines by what they are about.
    fn check(&self, config: &Config) -> (Option<i32>, Vec<String>) {
        let path = self.scratch.join("verdictd.toml");
        std::fs::write(&path, toml::to_string(config).unwrap()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_verdictd")).arg("--check").arg("--config").arg(&path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "what is found goes to standard output");
        (output.status.code(), String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
    }

    /// One part is damaged, for as long as it takes to see that this part alone is told.
    fn damaged(&self, path: &Path, damage: impl FnOnce(&mut Vec<u8>), subject: &str, said: &str) {
        let sound = std::fs::read(path).unwrap();
        let mut bytes = sound.clone();
        damage(&mut bytes);
        std::fs::write(path, bytes).unwrap();
        self.refused(&self.config, subject, said);
        std::fs::write(path, sound).unwrap();
    }

    fn refused(&self, config: &Config, subject: &str, said: &str) {
        let (status, lines) = self.check(config);
        let bad: Vec<&String> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
        let [line] = bad[..] else { panic!("{subject}: one line, and not {bad:#?}") };
        assert!(line.starts_with("MISSING") && line.split_whitespace().nth(1) == Some(subject), "{subject}: {line}");
        assert!(line.contains(said), "`{said}` is not in {line}");
        assert_eq!(status, Some(78));
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut directories = vec![self.site.state()];
        while let Some(directory) = directories.pop() {
            for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { directories.push(path) } else { files.push((path.clone(), std::fs::read(&path).unwrap())) }
            }
        }
        files.sort();
        files
    }
}

#[test]
fn a_sound_configuration_is_told_a_line_a_part_beside_the_daemon_that_serves_it() {
    let stage = Stage::new();
    let daemon = start(&stage.config);
    let before = stage.files();
    let (status, lines) = stage.check(&stage.config);
    let found = |subject: &str| {
        let mut about = lines.iter().filter(|line| line.split_whitespace().nth(1) == Some(subject));
        let line = about.next().unwrap_or_else(|| panic!("{subject} is not among {lines:#?}"));
        assert!(about.next().is_none(), "{subject} has one line: {lines:#?}");
        line.clone()
    };
    let parts = [
        ("machine", "shards on [".to_owned()),
        ("token", stage.config.admin.token.display().to_string()),
        ("journal", "1 acts are kept, 1 entries".into()),
        ("switches", "1 parts are off".into()),
        ("models", "sequence 3, 1 enforced, 0 on trial".into()),
        ("trial", "generation ".into()),
        ("keys", "1 of publishers".into()),
        ("state", "1 generations are kept, highest epoch 7".into()),
        ("snapshot", format!("generation {:016x}, signed, epoch 7", daemon.metrics.shards[0].generation.get())),
        ("tls", if stage.config.tls.wanted() { " more days; clients show none".into() } else { "none".into() }),
    ];
    for (subject, said) in &parts {
        let line = found(subject);
        assert!(line.starts_with("ok ") && line.contains(said), "`{said}` is not in {line}");
    }
    assert_eq!((status, lines.len()), (Some(0), parts.len()), "{lines:#?}");
    assert!(stage.files() == before, "it writes nothing");
    stop(daemon);
}

#[test]
fn whatever_is_damaged_is_told_before_a_start_meets_it() {
    let stage = Stage::new();
    let config = &stage.config;
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let state = stage.site.state();
    stage.damaged(&config.snapshot.keys[0], |bytes| bytes.truncate(10), "keys", "snapshot.keys: ");
    stage.damaged(&stage.site.path().join("manifest"), flip, "snapshot", "epoch 7, which is kept, would be served");
    stage.damaged(&config.models.directory.join("models.toml"), |bytes| bytes.push(b'\n'), "models", "models.toml");
    stage.damaged(&config.models.directory.join("url.onnx"), flip, "models", "url.onnx");
    stage.damaged(&config.models.keys[0], |bytes| bytes.truncate(10), "models", "models.keys: ");
    stage.damaged(&config.shadow.snapshot, flip, "trial", "candidate.snap");
    stage.damaged(&config.admin.token, |bytes| bytes.truncate(3), "token", "admin.token: ");
    stage.damaged(&state.join(verdictd::overlay::JOURNAL), |bytes| bytes[40] ^= 1, "journal", verdictd::overlay::JOURNAL);
    stage.damaged(&state.join(verdictd::switches::FILE), flip, "switches", verdictd::switches::FILE);
    stage.damaged(&state.join("models.sequence"), |bytes| *bytes = b"many\n".to_vec(), "models", "is no sequence of a registry");
    stage.damaged(&state.join("models.sequence"), |bytes| *bytes = b"9\n".to_vec(), "models", "sequence 3, and 9 was served before");
    if config.tls.wanted() {
        stage.damaged(&config.tls.certificate, cut, "tls", "daemon.pem");
        stage.damaged(&config.tls.key, cut, "tls", "daemon.key");
    }
    let (status, lines) = stage.check(config);
    assert_eq!(status, Some(0), "and nothing of that stays: {lines:#?}");
}

#[test]
fn what_is_pinned_must_be_kept_and_what_is_kept_is_a_start_of_its_own() {
    let stage = Stage::new();
    let daemon = start(&stage.config);
    act(&stage.config, Act::Pin, None, b"epoch 7", 0);
    stop(daemon);
    let state = stage.site.state().join("generations");
    let (status, lines) = stage.check(&stage.config);
    assert!(
        status == Some(0) && lines.iter().any(|line| line.contains("pinned to generation ") && line.contains("kept and sound")),
        "{lines:#?}"
    );
    let kept = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path());
    let snapshot = kept.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "snapshot")).unwrap();
    stage.damaged(&snapshot, |bytes| bytes.truncate(100), "state", "which cannot be served");
}

#[test]
fn a_state_that_is_damaged_is_advice_since_a_start_goes_by_the_manifests() {
    let stage = Stage::new();
    std::fs::write(stage.site.state().join("state"), "verdictd-state 1\nepoch").unwrap();
    let (status, lines) = stage.check(&stage.config);
    let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("advice")).collect();
    assert!(status == Some(0) && told.len() == 1 && told[0].contains("state: damaged"), "{lines:#?}");
    stop(start(&stage.config));
}
