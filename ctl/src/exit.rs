//! What the exit status says. One list, printed by `verdictctl --help`, so that scripts may rely on it.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Printed below the help.
pub const HELP: &str = "\
Exit status:
  0   done; for `lookup`: no key is malicious or suspicious; for `ask`: every answer as expected
  1   for `lookup`: a key is malicious or suspicious; for `ask`: an answer differs; for `diff`: the snapshots do
  2   wrong usage
  3   refused: the result would be unsafe to use (for example a snapshot of no rules); by the daemon: an act, a question that this client may not ask, or its certificate; by us: the daemon's certificate
  65  the data is wrong: a corrupt snapshot, a feed that cannot be read, a key that is no URL, host, address or hash
  66  an input file cannot be opened
  69  the daemon cannot be reached
  73  an output file cannot be written
  75  the daemon could not answer now (overloaded, or the connection broke), a feed could not be fetched: try again
  76  the daemon does not speak this protocol

Environment:
  VERDICT_CONNECT  where the daemon listens, if --connect is not given
  VERDICT_ADMIN    its admin listener, if --admin is not given
  VERDICT_CONTROL  the daemon's control socket, if --control is not given
  VERDICT_STATE    the daemon's state directory, if --state is not given
  VERDICT_TLS_CA, VERDICT_TLS_CERTIFICATE, VERDICT_TLS_KEY, VERDICT_TLS_NAME
                   as --tls-ca and its like, if these are not given
  VERDICT_BACKEND  neon, avx512, avx2 or portable, instead of the best that this machine has
  NO_COLOR         no colours, even on a terminal";

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// Grep-like: something was found, or something differs.
    Found,
    /// The work is done, but some input is no key at all.
    Unparseable,
    /// The daemon answered some keys with `overloaded` or `error`.
    TryAgain,
}

/// Why a command did not do its work. The text names the file, line, offset or endpoint, and the reason.
#[derive(Debug)]
pub enum Failure {
    /// Arguments that make no sense together.
    Usage(String),
    /// A gate refused.
    Refused(String),
    /// Their bytes are wrong.
    Data(String),
    /// An input that cannot be opened or read.
    Input(String),
    /// Nobody listens, or the connection timed out.
    Unavailable(String),
    /// An output that cannot be written.
    Output(String),
    /// A later attempt may succeed.
    Temporary(String),
    /// The other side speaks something else.
    Protocol(String),
    /// Nobody reads our output any more.
    Closed,
}

impl Outcome {
    /// The status, as in [`HELP`].
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Unparseable => 65,
            Self::TryAgain => 75,
        })
    }
}

impl Failure {
    /// The status, as in [`HELP`]; 141 is what a shell shows for a writer whose reader went away.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Data(_) => 65,
            Self::Input(_) => 66,
            Self::Unavailable(_) => 69,
            Self::Output(_) => 73,
            Self::Temporary(_) => 75,
            Self::Protocol(_) => 76,
            Self::Closed => 141,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text)
            | Self::Refused(text)
            | Self::Data(text)
            | Self::Input(text)
            | Self::Unavailable(text)
            | Self::Output(text)
            | Self::Temporary(text)
            | Self::Protocol(text) => formatter.write_str(text),
            Self::Closed => formatter.write_str("the reader of our output went away"),
        }
    }
}

/// Writing to standard output is the only input or output that is passed up bare; files name themselves first.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Output(format!("standard output: {error}")),
        }
    }
}
