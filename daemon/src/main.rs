//! `verdictd`: reads the configuration, asks the machine, serves until told to end.
#![forbid(unsafe_code)]

use clap::{CommandFactory, Parser};
use std::path::PathBuf;
use std::process::ExitCode;
use verdict_simd::Selected;
use verdictd::config::Config;
use verdictd::host::doctor::{self, Finding};
use verdictd::overlay::journal::JournalError;
use verdictd::preflight::EXIT_CONFIG;
use verdictd::switches::file::SwitchesError;
use verdictd::{Daemon, StartError, check, control, log, metrics};

/// `EX_UNAVAILABLE` of sysexits: something we need cannot be had now; a supervisor may try again.
const EXIT_UNAVAILABLE: u8 = 69;

/// The verdict daemon: answers, from memory, whether a URL, host, address or file is safe.
#[derive(Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// The configuration file (TOML).
    #[arg(short, long, default_value = "/etc/verdictd/verdictd.toml")]
    config: PathBuf,
    /// Read everything that a start reads (snapshot, keys, models, rules on trial, certificates, switches, acts), tell a line for each, then exit: 0 if the
    /// daemon would start here with all of it, else 78.
    #[arg(long)]
    check: bool,
    /// Tell everything that this host lacks for the configuration, a line of cause and remedy each, then exit: 0 if the daemon would serve here, else 78.
    #[arg(long)]
    doctor: bool,
    /// Print the effective configuration, defaults included, and exit.
    #[arg(long)]
    print_config: bool,
    /// Print every metric with its meaning, and exit.
    #[arg(long)]
    list_metrics: bool,
    /// Print the manual page, and exit.
    #[arg(long, hide = true)]
    man: bool,
    /// Print the version and the vector backends of this machine, and exit.
    #[arg(short = 'V', long)]
    version: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.version {
        return version();
    }
    if arguments.man {
        let command = Arguments::command().version(env!("CARGO_PKG_VERSION"));
        let page = clap_mangen::Man::new(command).section("8");
        return match page.render(&mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(EXIT_UNAVAILABLE, &error),
        };
    }
    if arguments.list_metrics {
        print!("{}", metrics::list());
        return ExitCode::SUCCESS;
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(refused) => return fail(EXIT_CONFIG, &refused),
    };
    if arguments.print_config {
        return match toml::to_string(&config) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(EXIT_CONFIG, &error),
        };
    }
    if arguments.doctor {
        return examine(&config, doctor::examine);
    }
    if arguments.check {
        return examine(&config, check::examine);
    }
    serve(&config)
}

fn version() -> ExitCode {
    let names: Vec<&str> = verdict_simd::available().into_iter().map(verdict_simd::Backend::name).collect();
    match verdict_simd::detect() {
        Ok(chosen) => {
            println!(
                "verdictd {} backend {} (available: {})",
                env!("CARGO_PKG_VERSION"),
                verdict_simd::Backend::name(chosen),
                names.join(", ")
            );
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_CONFIG, &error),
    }
}

/// Tells what these eyes find.
fn examine(config: &Config, eyes: fn(&Config, Selected) -> Vec<Finding>) -> ExitCode {
    let backend = match verdict_simd::detect() {
        Ok(backend) => backend,
        Err(error) => return fail(EXIT_CONFIG, &error),
    };
    let findings = eyes(config, backend);
    findings.iter().for_each(|finding| println!("{finding}"));
    if doctor::is_well(&findings) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) }
}

fn serve(config: &Config) -> ExitCode {
    // Before any thread exists: every one of them inherits the mask, and the control thread reads the signals.
    if let Err(error) = glommio::signal::block(&[control::SIGHUP, control::SIGINT, control::SIGTERM]) {
        return fail(EXIT_UNAVAILABLE, &error);
    }
    let log = match log::begin(config.log.format, config.log_level().unwrap_or(tracing::Level::INFO)) {
        Ok(log) => log,
        Err(error) => return fail(EXIT_UNAVAILABLE, &error),
    };
    let ended = run(config);
    log.end();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => fail(code, &error),
    }
}

/// From start to end; else the exit code, and why.
fn run(config: &Config) -> Result<(), (u8, StartError)> {
    let daemon = Daemon::start(config, true).map_err(|error| (exit_code(&error), error))?;
    tracing::info!(
        shards = daemon.metrics.shards.len(),
        backend = daemon.metrics.backend,
        driver = daemon.metrics.driver,
        tcp = ?daemon.tcp,
        unix = %config.listen.unix.display(),
        admin = %daemon.admin,
        "serving"
    );
    daemon.join().map_err(|error| (EXIT_UNAVAILABLE, error))?;
    tracing::info!("ended");
    Ok(())
}

/// Whether a supervisor may try again.
fn exit_code(error: &StartError) -> u8 {
    match error {
        // A state directory may be in use, or its disk full, or nothing published yet: that passes.
        StartError::Trust(error) if error.may_pass() => EXIT_UNAVAILABLE,
        // What was blocked or unblocked must not be forgotten in silence, and no restart mends it.
        StartError::Journal(JournalError::Corrupt { .. }) | StartError::Switches(SwitchesError::Damaged { .. }) => EXIT_CONFIG,
        StartError::Preflight(_)
        | StartError::Snapshot { .. }
        | StartError::Trust(_)
        | StartError::Tls(_)
        | StartError::Backend(_)
        | StartError::Sockets(_) => EXIT_CONFIG,
        _ => EXIT_UNAVAILABLE,
    }
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("verdictd: {error}");
    ExitCode::from(code)
}
