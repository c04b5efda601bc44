//! Cycles an operation as llvm-mca models them, for four ARM cores, over the instructions that really ran.
//!
//! ```text
//! trace of one round (all its branches as taken) ──► llvm-mca -mcpu=neoverse-n1 -iterations=K ──► cycles / (K * operations)
//! ```
//! The model has each core's ports, latencies and width. It has no caches, no memory order, no mispredicted branch and no front end: every line
//! is in L1 and every branch known. So it is the work between two waits for memory, and a lower bound of it. *Modelled*, never measured.

use super::code::Instruction;
use super::output;
use super::trace::Run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cores: Altra and Graviton 2, Cobalt 100, Graviton 3, Graviton 4.
pub const CORES: [&str; 4] = ["neoverse-n1", "neoverse-n2", "neoverse-v1", "neoverse-v2"];
/// Instructions that a model is given at least, so that its start does not count.
const INSTRUCTIONS_MIN: usize = 40_000;
/// A trace is cut here: llvm-mca keeps all of it in memory.
const INSTRUCTIONS_MAX: usize = 60_000;

/// llvm-mca of a version that knows all four cores.
#[derive(Clone, Debug)]
pub struct Model {
    program: PathBuf,
    /// `llvm-mca 19.1.7`.
    pub version: String,
}

/// Models of the cores have been there since this version of LLVM.
const LLVM_MIN: u32 = 17;

impl Model {
    /// The newest there is, or the line to type.
    pub fn find() -> Result<Self, String> {
        let names = (LLVM_MIN..=24).rev().map(|version| format!("llvm-mca-{version}")).chain(["llvm-mca".to_owned()]);
        for name in names {
            let Ok(said) = output(Command::new(&name).arg("--version")) else { continue };
            let version = said.split("version ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
            if version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= LLVM_MIN) {
                return Ok(Model { program: name.into(), version: format!("llvm-mca {version}") });
            }
        }
        Err(format!("llvm-mca {LLVM_MIN} or newer is missing: sudo apt-get install --no-install-recommends llvm-19"))
    }

    /// Cycles an operation on a core.
    pub fn cycles(&self, core: &str, run: &Run<'_>, directory: &Path) -> Result<f64, String> {
        let instructions = &run.instructions[..run.instructions.len().min(INSTRUCTIONS_MAX)];
        let operations = run.operations * instructions.len() as f64 / run.instructions.len() as f64;
        let file = directory.join(format!("{}.s", run.kernel.name));
        std::fs::write(&file, assembly(instructions)).map_err(|error| format!("{}: {error}", file.display()))?;
        let iterations = INSTRUCTIONS_MIN.div_ceil(instructions.len().max(1));
        let mut command = Command::new(&self.program);
        command.args(["-mtriple=aarch64-linux-gnu", &format!("-mcpu={core}"), &format!("-iterations={iterations}")]);
        command.args(["-instruction-info=false", "-resource-pressure=false"]).arg(&file);
        let text = output(&mut command)?;
        Ok(total_cycles(&text).ok_or("llvm-mca did not say `Total Cycles`")? / (iterations as f64 * operations))
    }
}

fn total_cycles(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("Total Cycles:"))?.trim().parse().ok()
}

/// What an assembler takes: addresses of code and data become one label, since only the order matters.
fn assembly(instructions: &[&Instruction]) -> String {
    let mut text = String::from("\t.text\n\t.arch_extension crypto\nhere:\n");
    for instruction in instructions {
        let operands = match instruction.target {
            Some(_) if instruction.mnemonic == "blr" => instruction.operands.clone(),
            Some(_) => match instruction.operands.rsplit_once([',', ' ']) {
                Some((rest, _)) => format!("{rest}, here").replace(",,", ","),
                None => "here".to_owned(),
            },
            None => instruction.operands.clone(),
        };
        text += &format!("\t{}", [instruction.mnemonic.as_str(), &operands].join("\t").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_and_addresses_become_a_label() {
        let code = super::super::code::Code::parse(
            "0000000000000100 <f>:\n 100:\ttbz\tw8, #0, 104 <f+0x4>\n 104:\tb.ne\t100 <f>  // b.any\n 108:\tadrp\tx0, 4000 <g+0x10>\n 10c:\tblr\tx8\n 110:\tret\n",
        );
        let function = code.at(0x100).unwrap();
        let text = assembly(&function.instructions.iter().collect::<Vec<_>>());
        let expected = "\ttbz\tw8, #0, here\n\tb.ne\there\n\tadrp\tx0, here\n\tblr\tx8\n\tret\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn cycles_are_read_from_the_summary() {
        assert_eq!(total_cycles("Iterations:        100\nInstructions:      300\nTotal Cycles:      610\n"), Some(610.0));
        assert_eq!(total_cycles("error"), None);
    }
}
