//! `verdictctl rollback --to DIR --key FILE`: an earlier snapshot again, under a new epoch.
//!
//! Daemons never take an older epoch, whoever signed it: otherwise everybody with an old manifest could bring old answers back. This is the
//! operator's word that the older one is wanted.

use crate::exit::{Failure, Outcome};
use crate::publish::{TermArguments, told};
use std::io::Write;
use verdict_intel::publish::{self, To};

/// Publish an earlier snapshot again, under a new epoch
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl rollback --key publisher.key --to /srv/verdicts
  verdictctl rollback --key publisher.key --to /srv/verdicts --generation 58c1a9e6d0f3b274

Without --from-epoch or --generation it is the newest earlier manifest of another snapshot. `verdictctl verify DIR --keys FILE` lists what is there.

Exit status: 0 published; 2 there is no such earlier manifest; others as of publish.")]
pub struct Arguments {
    #[command(flatten)]
    terms: TermArguments,
    /// The earlier manifest, by its epoch
    #[arg(long, value_name = "EPOCH")]
    from_epoch: Option<u64>,
    /// The earlier manifest, by its generation, 16 hexadecimal digits
    #[arg(long, value_parser = parse_generation, conflicts_with = "from_epoch")]
    generation: Option<u64>,
}

fn parse_generation(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a generation has up to 16 hexadecimal digits".to_owned())
}

/// Publishes and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let terms = arguments.terms.terms(Vec::new())?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    let to = match (arguments.from_epoch, arguments.generation) {
        (Some(epoch), _) => To::Epoch(epoch),
        (None, Some(generation)) => To::Generation(generation),
        (None, None) => To::Previous,
    };
    let published = publish::rollback(backend, to, &arguments.terms.to, &terms).map_err(|error| told(&error))?;
    arguments.terms.tell(&published, out)
}
