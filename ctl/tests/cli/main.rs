//! What the command does, seen from outside: arguments in; standard output, standard error and exit status out.

mod asking;
mod fake;
mod snapshots;
mod usage;
