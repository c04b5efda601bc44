//! `verdictd --check`: everything that a start reads, read by the same code, a line for each part of what was found.
//!
//! ```text
//!  ok       snapshot   generation 0123456789abcdef, signed, epoch 17
//!  MISSING  models     /srv/models/models.toml.sig: signed by none of the keys
//! ```
//! *MISSING* is whatever would end the start, and whatever the daemon would start without: a registry of models or rules on trial that are refused now are
//! served on by a daemon that took them before, and by none that starts. Nothing is written and no lock is taken, so a daemon may run meanwhile. What
//! the host lacks beside files is `--doctor`'s matter.

use crate::config::Config;
use crate::edge::guard::{admin, material::Material};
use crate::host::doctor::{Finding, Level};
use crate::inline::keeper::{self, Keeper, Looked};
use crate::overlay::{self, journal};
use crate::switches::{self, Switches};
use crate::{preflight, trust};
use verdict_simd::{Backend, Selected};
use verdict_tables::Snapshot;

/// Of a part that is not configured.
const NONE: &str = "none";

/// Reads everything.
pub fn examine(config: &Config, backend: Selected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |subject: &'static str, found: Result<String, String>| {
        let (level, text) = match found {
            Ok(text) => (Level::Ok, text),
            Err(text) => (Level::Missing, text),
        };
        findings.push(Finding { level, subject, text });
    };
    note("machine", machine(config, backend));
    note("tls", tls(config));
    note("token", token(config));
    note("journal", acts(config));
    let switches = config.journal_directory().map_or_else(|| Ok(Switches::default()), |directory| switches::file::read(&directory));
    note("switches", switches.as_ref().map(off).map_err(ToString::to_string));
    note("models", models(config));
    note("trial", candidate(config));
    if config.snapshot.is_signed() {
        let pin = switches.as_ref().ok().and_then(|switches| switches.pin.as_ref()).map(|(pin, _)| pin);
        findings.extend(trust::preview::examine(&config.snapshot, pin, backend));
    } else {
        let loaded = Snapshot::load(&config.snapshot.path);
        let shown = config.snapshot.path.display();
        note(
            "snapshot",
            match loaded {
                Ok(snapshot) => {
                    Ok(format!("generation {:016x}, {} rules, unsigned", snapshot.generation(), snapshot.stats().rules_total()))
                }
                Err(error) => Err(format!("{shown}: {error}")),
            },
        );
    }
    findings
}

fn machine(config: &Config, backend: Selected) -> Result<String, String> {
    let machine = preflight::check(&config.shards, config.limits.connections_max).map_err(|refusal| refusal.to_string())?;
    let without = machine.without_ring.map_or(String::new(), |why| format!(", without io_uring: {why}"));
    Ok(format!("shards on {:?}, driver {}, backend {}{without}", machine.cpus, machine.driver.name(), Backend::name(backend)))
}

fn tls(config: &Config) -> Result<String, String> {
    if !config.tls.wanted() {
        return Ok(NONE.into());
    }
    let material = Material::read(&config.tls)?;
    let left_s = material.expires_s.checked_sub(trust::now_s());
    let until = match (material.expires_s, left_s) {
        (0, _) => "until when cannot be read".to_owned(),
        // Clients would refuse it; the daemon itself would start.
        (_, None) => return Err(format!("{} has expired: clients refuse it", config.tls.certificate.display())),
        (_, Some(left_s)) => format!("{} more days", left_s / 86_400),
    };
    let clients = if config.tls.client_ca.as_os_str().is_empty() { "clients show none" } else { "clients show theirs" };
    Ok(format!("{}: {until}; {clients}", config.tls.certificate.display()))
}

fn token(config: &Config) -> Result<String, String> {
    let token = admin::read_token(&config.admin.token)?;
    Ok(token.map_or(NONE.into(), |_| config.admin.token.display().to_string()))
}

fn acts(config: &Config) -> Result<String, String> {
    let path = config.journal_directory().map(|directory| directory.join(overlay::JOURNAL));
    let Some(path) = path.filter(|path| path.exists()) else { return Ok(NONE.into()) };
    let contents = journal::contents(&path).map_err(|error| error.to_string())?;
    Ok(format!("{} acts are kept, {} entries of them", contents.records.len(), contents.entries().len()))
}

fn off(switches: &Switches) -> String {
    let pin = switches.pin.as_ref().map_or(String::new(), |(pin, _)| format!(", pinned to {pin}"));
    match switches.off.is_empty() && pin.is_empty() {
        true => "nothing is off".into(),
        false => format!("{} parts are off{pin}", switches.off.len()),
    }
}

fn models(config: &Config) -> Result<String, String> {
    let Some(mut keeper) = Keeper::open_to_look(config)? else { return Ok(NONE.into()) };
    match keeper.look(trust::now_s()) {
        Looked::Refused { why, .. } => Err(why),
        Looked::Same => Ok(NONE.into()),
        Looked::New(served) => {
            let ([enforced, on_trial], node) = (keeper::counts(&served), served.node());
            let notes: String = node.notes().iter().map(|note| format!("; {note}")).collect();
            Ok(format!("sequence {}, {enforced} enforced, {on_trial} on trial{notes}", node.registry().sequence))
        }
    }
}

fn candidate(config: &Config) -> Result<String, String> {
    if !config.shadow.wanted() {
        return Ok(NONE.into());
    }
    let path = &config.shadow.snapshot;
    let snapshot = Snapshot::load(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("generation {:016x}, one key in {}", snapshot.generation(), config.shadow.one_in))
}
