//! `cargo xtask demo`: real intelligence compiled, served and asked for, in one command.
//!
//! ```text
//!  build ─► verdictctl compile ─► verdictd (TCP loopback, Unix socket) ─► verdictctl ask, over both ─► explain ─► SIGTERM, exit status 0
//! ```
//! All files lie in `target/demo/`. The questions are those of `intel/sample/questions.tsv`; with feeds of your own added the same answers
//! must hold, since the sample uses reserved names that no real feed lists.

use crate::release::{self, Profile, Programs};
use crate::workspace::{Workspace, create};
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::server::{AUTO, Server};

/// Build, compile the sample intelligence, serve it, ask, stop
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// More feed files (plain lists, hosts files, CSV, netsets, hash lists, gzip), added to the sample
    feeds: Vec<PathBuf>,
    /// Leave the daemon running
    #[arg(long)]
    keep: bool,
    /// Shards; 0 is one per CPU
    #[arg(long, default_value_t = 0, value_name = "N")]
    shards: usize,
    /// How the programs are built
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

/// The sample's list of feeds.
pub const FEEDS: &str = "intel/sample/feeds.toml";
/// Questions with the answers that they must get.
pub const QUESTIONS: &str = "intel/sample/questions.tsv";

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    say("building verdictd and verdictctl");
    let programs = release::build_openly(workspace, arguments.profile)?;
    let directory = directory(workspace)?;
    let snapshot = directory.join("demo.snap");

    say(&format!(
        "compiling {FEEDS}{}",
        if arguments.feeds.is_empty() { String::new() } else { format!(" and {} more", arguments.feeds.len()) }
    ));
    release::openly(compile(workspace, &programs, &snapshot).args(&arguments.feeds))?;

    let server = Server::start(&programs.verdictd, &directory, &snapshot, arguments.shards, AUTO)?;
    say(&format!("verdictd serves on {} and {}", server.tcp, workspace.shown(&server.unix).display()));
    for (over, endpoint) in endpoints(workspace, &server) {
        say(&format!("asking over {over}"));
        if let Err(error) = release::openly(&mut ask(workspace, &programs, &endpoint)) {
            return Err(format!("not every answer over {over} was as expected, or none came ({error})\n{}", server.last_words()));
        }
    }
    say("why? explained by the daemon, with the lines of the store beside its snapshot");
    let store = format!("{}.explain", snapshot.display());
    explain(workspace, &programs, &["--connect", &format!("tcp:{}", server.tcp), "--store", &store])?;
    say("the same offline, from the snapshot file");
    explain(workspace, &programs, &["--snapshot", &snapshot.display().to_string()])?;
    if arguments.keep {
        print_kept(workspace, &programs, &server);
        server.keep();
    } else {
        let took = server.stop()?;
        say(&format!("verdictd stopped cleanly in {} ms", took.as_millis()));
    }
    Ok(())
}

/// `target/demo`, relative to the root where that is possible: the path of a Unix socket may not exceed 107 bytes.
pub fn directory(workspace: &Workspace) -> Result<PathBuf, String> {
    let directory = create(workspace.target.join("demo"))?;
    std::env::set_current_dir(&workspace.root).map_err(|error| format!("{}: {error}", workspace.root.display()))?;
    Ok(workspace.shown(&directory).to_owned())
}

/// Compiles the sample; more feeds may be added as arguments.
pub fn compile(workspace: &Workspace, programs: &Programs, snapshot: &Path) -> Command {
    let mut command = Command::new(&programs.verdictctl);
    command.current_dir(&workspace.root).arg("compile").arg("--output").arg(snapshot).arg(FEEDS);
    command
}

/// Asks the sample's questions.
pub fn ask(workspace: &Workspace, programs: &Programs, endpoint: &str) -> Command {
    let mut command = Command::new(&programs.verdictctl);
    command.current_dir(&workspace.root).args(["ask", QUESTIONS, "--connect", endpoint]);
    command
}

/// A URL of the sample that several rules speak of; its spelling is not canonical.
const CONTESTED: &str = "HTTPS://cdn.Example.ORG:443/kit/x/../%72eadme.txt";

/// Explains it; whatever is found, status 1 says that it is listed.
fn explain(workspace: &Workspace, programs: &Programs, how: &[&str]) -> Result<(), String> {
    let mut command = Command::new(&programs.verdictctl);
    let status = command.current_dir(&workspace.root).arg("explain").args(how).arg(CONTESTED).status();
    match status.map(|status| status.code()) {
        Ok(Some(0 | 1)) => Ok(()),
        Ok(code) => Err(format!("explain ended with {code:?}")),
        Err(error) => Err(format!("explain: {error}")),
    }
}

/// Both ways to ask, by name.
pub fn endpoints(_workspace: &Workspace, server: &Server) -> [(&'static str, String); 2] {
    [("TCP", format!("tcp:{}", server.tcp)), ("the Unix socket", format!("unix:{}", server.unix.display()))]
}

fn say(line: &str) {
    eprintln!("demo: {line}");
}

fn print_kept(workspace: &Workspace, programs: &Programs, server: &Server) {
    let verdictctl = workspace.shown(&programs.verdictctl).display();
    println!();
    println!("verdictd keeps running, process {}.", server.pid());
    println!("  ask      {verdictctl} lookup --connect {} malware.example", server.tcp);
    println!("  metrics  http://{}/metrics", server.admin);
    println!("  config   {}", workspace.shown(&server.config).display());
    println!("  stop     kill {}", server.pid());
}
