//! Machine code as text: what objdump prints, as functions; and a kernel with everything of ours that it calls.
//!
//! ```text
//! 0000000000401234 <verdict_kernels::probe::<verdict_simd::aarch64::neon::Neon>>:
//!   401238:       bl      402000 <core::panicking::panic_bounds_check>           a foreign call: named, not followed
//!   40123c:       b       401100 <verdict_simd::aarch64::neon::run::<…>>          ours: followed
//! ```
//! Compilers inline and split as they like; a kernel's code is therefore found from its root in the driver, not by a list of symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub address: u64,
    /// `ld1`, `vpshufb`.
    pub mnemonic: String,
    /// As written, without the comment at the end.
    pub operands: String,
    /// The name behind the address of a call or jump, or behind the comment of an indirect one.
    pub target: Option<String>,
}

/// A function.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub address: u64,
    pub instructions: Vec<Instruction>,
}

/// A whole program.
#[derive(Debug, Default)]
pub struct Code {
    functions: BTreeMap<u64, Function>,
}

/// A kernel with everything of the house that it calls.
#[derive(Debug, Default)]
pub struct Reached<'a> {
    pub instructions: Vec<&'a Instruction>,
    /// Names of what is not ours, once per place it is called from.
    pub foreign: Vec<String>,
}

impl Code {
    /// By the objdump of that name.
    pub fn of(objdump: &str, program: &Path) -> Result<Self, String> {
        let text = super::output(Command::new(objdump).args(["-d", "-C", "--no-show-raw-insn", "-w"]).arg(program))?;
        let code = Self::parse(&text);
        if code.functions.is_empty() { Err(format!("{objdump} found no function in {}", program.display())) } else { Ok(code) }
    }

    /// From what objdump printed.
    pub fn parse(text: &str) -> Self {
        let mut functions = BTreeMap::new();
        let mut current: Option<Function> = None;
        for line in text.lines() {
            if let Some((address, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
                functions.extend(current.take().map(|function| (function.address, function)));
                let address = u64::from_str_radix(address, 16).ok();
                current = address.map(|address| Function { name: name.into(), address, instructions: Vec::new() });
            } else if let (Some(function), Some(instruction)) = (&mut current, instruction(line)) {
                function.instructions.push(instruction);
            }
        }
        functions.extend(current.map(|function| (function.address, function)));
        Code { functions }
    }

    /// The function that begins at an address.
    pub fn at(&self, address: u64) -> Option<&Function> {
        self.functions.get(&address)
    }

    /// The function that holds an address.
    pub fn around(&self, address: u64) -> Option<&Function> {
        let (_, function) = self.functions.range(..=address).next_back()?;
        function.instructions.last().filter(|last| address <= last.address).map(|_| function)
    }

    /// All functions.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// The function of the driver for a kernel and a backend (`Neon`, `Avx2`, ...), with all of ours that it calls.
    pub fn kernel(&self, kernel: &str, backend: &str) -> Result<Reached<'_>, String> {
        let all = || self.functions.values().filter(|function| function.name.starts_with(&format!("verdict_kernels::{kernel}::<")));
        // What no backend changes is compiled once, under the name of any of them.
        let root = all().find(|function| function.name.ends_with(&format!("::{backend}>"))).or_else(|| all().next());
        let root = root.ok_or_else(|| format!("no function verdict_kernels::{kernel}::<{backend}> in the program"))?;
        let (mut seen, mut waiting) = (BTreeSet::from([root.address]), vec![root]);
        let mut reached = Reached::default();
        while let Some(function) = waiting.pop() {
            for instruction in &function.instructions {
                reached.instructions.push(instruction);
                let Some(name) = &instruction.target else { continue };
                let called = instruction.address_of_target().and_then(|address| self.at(address));
                match called {
                    Some(called) if is_ours(&called.name) => waiting.extend(seen.insert(called.address).then_some(called)),
                    Some(called) => reached.foreign.push(called.name.clone()),
                    None if is_call(&instruction.mnemonic) => reached.foreign.push(name.clone()),
                    None => {} // a jump within the function
                }
            }
        }
        Ok(reached)
    }
}

impl Instruction {
    /// The address that a direct call or jump names.
    pub fn address_of_target(&self) -> Option<u64> {
        let last = self.operands.rsplit([',', ' ']).next()?;
        u64::from_str_radix(last.trim_start_matches("0x"), 16).ok().filter(|_| self.target.is_some())
    }
}

/// A name of a crate of the house, also within `<... as ...>`.
pub fn is_ours(name: &str) -> bool {
    name.trim_start_matches('<').starts_with("verdict_")
}

fn is_call(mnemonic: &str) -> bool {
    matches!(mnemonic, "bl" | "blr" | "call")
}

/// `  401238:\tbl\t402000 <name>`
fn instruction(line: &str) -> Option<Instruction> {
    let (address, rest) = line.trim_start().split_once(":\t")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let (mnemonic, operands) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let (operands, comment) = operands.split_once("//").or_else(|| operands.split_once("# ")).unwrap_or((operands, ""));
    let (operands, target) = match operands.split_once(" <") {
        Some((operands, name)) => (operands, Some(name)),
        None => (operands, comment.split_once('<').map(|(_, name)| name).filter(|_| is_call(mnemonic))),
    };
    let target =
        target.map(|name| name.trim().trim_end_matches('>').to_owned()).or_else(|| is_call(mnemonic).then(|| "a pointer".to_owned()));
    Some(Instruction { address, mnemonic: mnemonic.into(), operands: operands.trim().into(), target })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
kernels:     file format elf64-littleaarch64

0000000000001000 <verdict_kernels::probe::<verdict_simd::aarch64::neon::Neon>>:
    1000:\tcmeq\tv0.2d, v0.2d, v1.2d
    1004:\tb.ne\t1000 <verdict_kernels::probe::<verdict_simd::aarch64::neon::Neon>>  // b.any
    1008:\tbl\t2000 <verdict_simd::aarch64::neon::run::<A, B>>
    100c:\tret

0000000000002000 <verdict_simd::aarch64::neon::run::<A, B>>:
    2000:\tmov\tw0, #0x1                   \t// #1
    2004:\tbl\t3000 <__aarch64_ldadd8_relax>
    2008:\tblr\tx8
    200c:\tb\t2000 <verdict_simd::aarch64::neon::run::<A, B>>

0000000000003000 <__aarch64_ldadd8_relax>:
    3000:\tret
";

    #[test]
    fn a_kernel_is_found_with_what_it_calls_and_no_function_twice() {
        let code = Code::parse(TEXT);
        let reached = code.kernel("probe", "Neon").unwrap();
        let mnemonics: Vec<&str> = reached.instructions.iter().map(|instruction| instruction.mnemonic.as_str()).collect();
        assert_eq!(mnemonics, ["cmeq", "b.ne", "bl", "ret", "mov", "bl", "blr", "b"]);
        assert_eq!(reached.foreign, ["__aarch64_ldadd8_relax", "a pointer"]);
    }

    #[test]
    fn a_kernel_that_is_not_there_is_an_error_and_not_an_empty_one() {
        assert!(Code::parse(TEXT).kernel("pair", "Neon").is_err());
        assert!(Code::parse(TEXT).kernel("prob", "Neon").is_err());
    }

    #[test]
    fn comments_are_no_operands() {
        let parsed = instruction("    2000:\tmov\tw0, #0x1                   \t// #1").unwrap();
        assert_eq!((parsed.mnemonic.as_str(), parsed.operands.as_str(), parsed.target), ("mov", "w0, #0x1", None));
        let indirect = instruction("    84:\tcall   *0x28cee(%rip)        # 3b338 <memcpy@GLIBC_2.14>").unwrap();
        assert_eq!(indirect.target.as_deref(), Some("memcpy@GLIBC_2.14"));
    }
}
