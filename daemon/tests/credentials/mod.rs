//! Secrets that the service manager hands over: a daemon in a process of its own, with `CREDENTIALS_DIRECTORY`.

use crate::certificates::{self, Authority, has_openssl};
use crate::support::{Scratch, config};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use verdict_wire as wire;

/// What a daemon said up to the line that has this.
fn said_until(child: &mut Child, word: &str) -> String {
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        said += &format!("{line}\n");
        if line.contains(word) {
            return line;
        }
    }
    panic!("no `{word}` in\n{said}")
}

/// The address that follows `name=` in a line of the log.
fn address(line: &str, name: &str) -> SocketAddr {
    let rest = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} is not in {line}")).1;
    rest.trim_start_matches('[').split([' ', ']', ',']).next().unwrap().parse().unwrap_or_else(|error| panic!("{name}: {error}: {line}"))
}

#[test]
fn token_and_certificates_may_be_credentials_of_the_service_manager() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let credentials = scratch.join("credentials");
    std::fs::create_dir_all(&credentials).unwrap();
    let pair = authority.issue("daemon", "DNS:daemon.example");
    for (from, name) in [(&pair.certificate, "tls.pem"), (&pair.key, "tls.key"), (&authority.certificate(), "clients.pem")] {
        std::fs::copy(from, credentials.join(name)).unwrap();
    }
    std::fs::write(credentials.join("admin.token"), "a-token-of-a-manager").unwrap();
    let mut config = config(&scratch);
    config.admin.token = "credential:admin.token".into();
    (config.tls.certificate, config.tls.key) = ("credential:tls.pem".into(), "credential:tls.key".into());
    config.tls.client_ca = "credential:clients.pem".into();
    config.log.format = verdictd::log::Format::Text;
    let path = scratch.join("verdictd.toml");
    std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    let daemon = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_verdictd"));
        command.arg("--config").arg(&path).env("NO_COLOR", "1").env("CREDENTIALS_DIRECTORY", &credentials).stderr(Stdio::piped());
        command
    };
    let without = daemon().env_remove("CREDENTIALS_DIRECTORY").arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&without.stderr);
    assert_eq!(without.status.code(), Some(78), "{said}");
    for name in ["admin.token", "tls.pem", "tls.key", "clients.pem"] {
        assert!(said.contains(&format!("LoadCredential={name}:")), "{name}: {said}");
    }
    let checked = daemon().arg("--check").output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && told.contains("credentials/tls.pem: ") && told.contains(" more days; clients show theirs"),
        "{told}"
    );

    let mut child = Ending(daemon().spawn().unwrap());
    let serving = said_until(&mut child.0, "serving");
    let client = authority.client(Some(&authority.issue("us", "DNS:us.example")));
    let mut peer = certificates::connect(&client, address(&serving, "tcp"));
    assert_eq!(peer.class_of("evil.test"), wire::Class::Malicious);
    for (token, status) in [("a-token-of-a-manager", "200"), ("a-token-of-another1", "401")] {
        let mut page = certificates::secure(&client, certificates::dial(address(&serving, "admin")));
        write!(page, "GET /models HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        let mut reply = String::new();
        page.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    }
}

/// A child that does not outlive its test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}
