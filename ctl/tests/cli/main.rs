//! What the command does, seen from outside: arguments in; standard output, standard error and exit status out.

mod acts;
mod asking;
mod fake;
mod files;
mod models;
mod programs;
mod quarantine;
mod registry;
mod snapshots;
mod tls;
mod usage;
