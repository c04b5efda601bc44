//! `verdictctl keygen --to NAME`: a key pair to publish with.

use crate::exit::{Failure, Outcome};
use crate::publish::told;
use crate::text;
use std::io::Write;
use std::path::PathBuf;
use verdict_intel::publish::SecretKey;

/// Make a key pair: NAME.key signs what is published, NAME.pub goes to every daemon
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl keygen --to /etc/verdictd/publisher-2026 --remark 'office, 2026'

Neither file is overwritten. NAME.key can be read by its owner only; whoever has it can publish. To replace a key see docs/manual.md, Keys.

Exit status: 0 made, 73 a file cannot be written or is there already.")]
pub struct Arguments {
    /// Both files' name, without .key and .pub
    #[arg(long, value_name = "NAME")]
    to: PathBuf,
    /// Who it is and since when, for people; stands in NAME.pub
    #[arg(long, default_value = "")]
    remark: String,
}

/// Makes and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let with = |ending: &str| {
        let mut path = arguments.to.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    if arguments.remark.chars().any(char::is_control) {
        return Err(Failure::Usage("--remark is one line of text".to_owned()));
    }
    let (secret_path, public_path) = (with(".key"), with(".pub"));
    let secret = SecretKey::generate().map_err(|error| told(&error))?;
    secret.write(&secret_path).map_err(|error| Failure::Output(text::visible(error.to_string().as_bytes())))?;
    let line = secret.public().line(&arguments.remark);
    let written = std::fs::File::create_new(&public_path).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.map_err(|error| Failure::Output(format!("{}: {error}", text::path(&public_path))))?;
    writeln!(out, "secret  {}  signs what is published; keep it there, and only there", text::path(&secret_path))?;
    writeln!(out, "public  {}  for snapshot.keys of every daemon", text::path(&public_path))?;
    writeln!(out, "key     {}", secret.public().id())?;
    Ok(Outcome::Done)
}
