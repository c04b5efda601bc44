//! Which ARM instructions ran, in order: the emulator says each one's address, the disassembly what stands there.
//!
//! ```text
//! qemu-aarch64 -singlestep -d nochain,exec verdict-kernels --rounds 1 --cache DIRECTORY         tables are built before, here
//!   ... set-up ... │ measured ─► kernel 1 ─► back in the caller │ ... │ measured ─► kernel 2 ...       stdout: "probe neon 64 key", in order
//! ```
//! A count and an order, no time. Branches stand as they were taken, so that a model sees the path of real work and no guess at a loop.

use super::code::{Code, Instruction, is_ours};
use super::{Kernel, operations};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// The emulator; the CPU is the floor of what we support.
const EMULATOR: [&str; 3] = ["/usr/bin/qemu-aarch64-static", "-cpu", "neoverse-n1"];

/// One kernel's run.
#[derive(Debug)]
pub struct Run<'a> {
    pub kernel: Kernel,
    /// How many operations it is.
    pub operations: f64,
    pub instructions: Vec<&'a Instruction>,
}

impl Run<'_> {
    /// Instructions an operation.
    pub fn per_operation(&self) -> f64 {
        self.instructions.len() as f64 / self.operations
    }

    /// How often mnemonics that begin so ran, an operation.
    pub fn ran(&self, mnemonic: &str) -> f64 {
        self.instructions.iter().filter(|instruction| instruction.mnemonic.starts_with(mnemonic)).count() as f64 / self.operations
    }

    /// Functions that ran and are not ours, each once.
    pub fn strangers<'c>(&self, code: &'c Code) -> Vec<&'c str> {
        let names =
            self.instructions.iter().filter_map(|instruction| code.around(instruction.address)).map(|function| function.name.as_str());
        let strangers: std::collections::BTreeSet<&str> = names.filter(|name| !is_ours(name)).collect();
        strangers.into_iter().collect()
    }
}

/// One round of every kernel on one backend.
pub fn run<'a>(program: &Path, code: &'a Code, backend: &str, kernels: &[Kernel], cache: &Path) -> Result<Vec<Run<'a>>, String> {
    let (pieces, said) = traced(program, code, backend, cache)?;
    if pieces.len() != kernels.len() {
        return Err(format!("{} kernels were asked for and {} traced", kernels.len(), pieces.len()));
    }
    let by_address: BTreeMap<u64, &Instruction> =
        code.functions().flat_map(|function| &function.instructions).map(|instruction| (instruction.address, instruction)).collect();
    let mut runs = Vec::new();
    for (kernel, addresses) in kernels.iter().zip(pieces) {
        let instructions: Option<Vec<&Instruction>> = addresses.iter().map(|address| by_address.get(address).copied()).collect();
        let instructions = instructions.ok_or_else(|| format!("{}: an address that the disassembly does not have", kernel.name))?;
        runs.push(Run { kernel: kernel.clone(), operations: operations(&said, &kernel.name)?, instructions });
    }
    Ok(runs)
}

fn traced(program: &Path, code: &Code, backend: &str, cache: &Path) -> Result<(Vec<Vec<u64>>, String), String> {
    let mut command = Command::new(EMULATOR[0]);
    command.args(&EMULATOR[1..]).args(["-singlestep", "-d", "nochain,exec"]).arg(program).args(["--rounds", "1", "--cache"]).arg(cache);
    command.env("VERDICT_BACKEND", backend).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", EMULATOR[0]))?;
    let (log, mut words) = (child.stderr.take().ok_or("no log")?, child.stdout.take().ok_or("no output")?);
    let pieces = cut(BufReader::with_capacity(1 << 20, log), code)?;
    let mut said = String::new();
    words.read_to_string(&mut said).map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok((pieces, said)) } else { Err(format!("verdict-kernels under emulation: {status}")) }
}

/// What ran between each entry into `measured` and the return to its caller.
fn cut(mut log: impl BufRead, code: &Code) -> Result<Vec<Vec<u64>>, String> {
    let measured = code.functions().find(|function| function.name == "verdict_kernels::measured").ok_or("no function `measured`")?;
    let (mut pieces, mut caller): (Vec<Vec<u64>>, Option<std::ops::RangeInclusive<u64>>) = (Vec::new(), None);
    let (mut before, mut line) = (0, Vec::new());
    while log.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        if let Some(address) = address(&line) {
            if address == measured.address && caller.is_none() {
                caller = Some(range_around(code, before).ok_or("`measured` was called from nowhere")?);
                pieces.push(Vec::new());
            }
            if caller.as_ref().is_some_and(|caller| caller.contains(&address)) {
                caller = None;
            }
            if let (Some(piece), true) = (pieces.last_mut(), caller.is_some()) {
                piece.push(address);
            }
            before = address;
        }
        line.clear();
    }
    Ok(pieces)
}

/// The addresses of the function that holds this one.
fn range_around(code: &Code, address: u64) -> Option<std::ops::RangeInclusive<u64>> {
    let function = code.around(address)?;
    Some(function.address..=function.instructions.last()?.address)
}

/// `Trace 0: 0x7f8b44000100 [0000000000000000/0000000000401f30/00000000/ff000000] name`
fn address(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(b"Trace ")?;
    let field = rest.split(|byte| *byte == b'/').nth(1)?;
    u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_between_entry_and_return_of_measured_is_kept() {
        let code = Code::parse(
            "0000000000000100 <verdict_kernels::drive>:\n 100:\tbl\t200 <verdict_kernels::measured>\n 104:\tret\n\
             0000000000000200 <verdict_kernels::measured>:\n 200:\tblr\tx1\n 204:\tret\n\
             0000000000000300 <memcpy>:\n 300:\tret\n",
        );
        let line = |address: u64| format!("Trace 0: 0x7f00 [0000/{address:016x}/0/ff] name\n");
        let ran = [0x300, 0x100, 0x200, 0x300, 0x204, 0x104, 0x300, 0x100, 0x200, 0x204, 0x104];
        let log: String = ran.map(line).concat() + "something else\n";
        assert_eq!(cut(log.as_bytes(), &code).unwrap(), [vec![0x200, 0x300, 0x204], vec![0x200, 0x204]]);
    }
}
