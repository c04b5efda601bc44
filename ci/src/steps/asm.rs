//! The machine code of each hot kernel, held against `simd/asm.toml`: what must stand in it, how often at least, and what must not.
//!
//! ```text
//! least = { cmeq = 3, addp = 1 }   panics = 2     in verdict_kernels::probe::<Neon> and all of ours that it calls, as it stands
//! ran = { cmeq = 3.0 }             runs = []      an operation, in the trace of what the emulator really passed
//! [never]                                         outlined atomics: in no function of ours at all
//! ```
//! A release build for ARM by Debian's compiler, one for x86-64 by the compiler in use; read with objdump. A compiler that unrolls more passes, one
//! that gives up the vectors does not. Calls that leave our crates are panics, or are named in `calls`; any other is a complaint.

use crate::child::Log;
use crate::kernels::code::{Code, Reached, is_ours};
use crate::kernels::trace::{self, Run};
use crate::kernels::{self, Kernel};
use crate::steps::{Complaints, Done, suite};
use crate::workspace::Workspace;
use serde::Deserialize;
use std::collections::BTreeMap;

const FILE: &str = "simd/asm.toml";
/// The disassembler of ARM code comes with the cross linker.
const OBJDUMP: [(&str, &str); 2] = [("aarch64", "aarch64-linux-gnu-objdump"), ("x86_64", "objdump")];
/// What a call to a panic is known by.
const PANICS: [&str; 5] =
    ["core::panicking::", "core::slice::index::", "core::option::", "core::result::unwrap", "arrayvec::arrayvec::extend_panic"];

/// `simd/asm.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Architecture: parts of names that no function of ours may call.
    never: BTreeMap<String, Vec<String>>,
    /// Kernel: what holds for it.
    aarch64: Section,
    x86_64: Section,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    backend: String,
    kernel: BTreeMap<String, Expected>,
}

/// Of one kernel.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Mnemonics by their beginning.
    #[serde(default)]
    least: BTreeMap<String, usize>,
    /// How many calls to a panic there may be: each is an assertion at the door or a bounds check that was not proved away. ARM only, as `calls`:
    /// in a position-independent program calls go through pointers without a name.
    panics: Option<usize>,
    /// Parts of the names of what it may call beside.
    #[serde(default)]
    calls: Vec<String>,
    /// Mnemonics by their beginning, an operation, in the trace; ARM only.
    #[serde(default)]
    ran: BTreeMap<String, f64>,
    /// Parts of the names of what may run beside our own functions once buffers are warm; ARM only.
    #[serde(default)]
    runs: Vec<String>,
}

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let text = std::fs::read_to_string(workspace.root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let wanted: Wanted = toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let native = kernels::native(workspace, log)?;
    let kernels = kernels::list(&native)?;
    let program = kernels::arm(workspace, log)?;
    let arm = Code::of(OBJDUMP[0].1, &program)?;
    let traced = trace::run(&program, &arm, "neon", &kernels, &kernels::tables(workspace, &native)?)?;
    let x86 = Code::of(OBJDUMP[1].1, &native)?;
    let sections = [("aarch64", &wanted.aarch64, &arm), ("x86_64", &wanted.x86_64, &x86)];
    let none = Vec::new();
    suite(
        log,
        &[
            ("every_kernel_has_its_line", &|| {
                Ok(sections.iter().flat_map(|(name, section, _)| without_a_line(name, section, &kernels)).collect())
            }),
            ("arm_kernels_hold_what_they_must", &|| Ok(section(sections[0]))),
            ("arm_kernels_ran_as_they_must", &|| Ok(traced.iter().flat_map(|run| ran(&wanted.aarch64, run, &arm)).collect())),
            ("x86_64_kernels_hold_what_they_must", &|| Ok(section(sections[1]))),
            ("nothing_of_ours_calls_an_outlined_atomic", &|| Ok(never(&arm, wanted.never.get("aarch64").unwrap_or(&none)))),
            ("nothing_of_ours_calls_one_on_x86_64", &|| Ok(never(&x86, wanted.never.get("x86_64").unwrap_or(&none)))),
        ],
    )?;
    Ok(Done::Passed(format!(
        "{} kernels on neon, {} on {}",
        wanted.aarch64.kernel.len(),
        wanted.x86_64.kernel.len(),
        wanted.x86_64.backend
    )))
}

fn without_a_line(name: &str, section: &Section, kernels: &[Kernel]) -> Complaints {
    let absent = kernels.iter().filter(|kernel| name == "aarch64" && !section.kernel.contains_key(&kernel.name));
    absent.map(|kernel| format!("{FILE}: [{name}.kernel] has no line for {}", kernel.name)).collect()
}

fn section((name, section, code): (&str, &Section, &Code)) -> Complaints {
    let mut complaints = Vec::new();
    for (kernel, expected) in &section.kernel {
        match code.kernel(kernel, &section.backend) {
            Ok(reached) => complaints.extend(holds(&format!("{name} {kernel}"), expected, &reached)),
            Err(error) => complaints.push(format!("{name} {kernel}: {error}")),
        }
    }
    complaints
}

fn holds(place: &str, expected: &Expected, reached: &Reached<'_>) -> Complaints {
    let mut complaints = Vec::new();
    for (mnemonic, least) in &expected.least {
        let found = reached.instructions.iter().filter(|instruction| instruction.mnemonic.starts_with(mnemonic.as_str())).count();
        if found < *least {
            complaints.push(format!("{place}: {found} times `{mnemonic}`, {least} were expected: read the code, then mend it or {FILE}"));
        }
    }
    let Some(allowed) = expected.panics else { return complaints };
    let (panics, others): (Vec<&String>, Vec<&String>) =
        reached.foreign.iter().partition(|name| PANICS.iter().any(|panic| name.starts_with(panic)));
    if panics.len() > allowed {
        complaints.push(format!("{place}: {} calls to a panic, {} were allowed: {}", panics.len(), allowed, names(&panics)));
    }
    let strangers: Vec<&String> =
        others.into_iter().filter(|name| expected.calls.iter().all(|call| !name.contains(call.as_str()))).collect();
    if !strangers.is_empty() {
        complaints.push(format!("{place}: calls {}, which {FILE} does not name", names(&strangers)));
    }
    complaints
}

/// What the emulator passed.
fn ran(section: &Section, run: &Run<'_>, code: &Code) -> Complaints {
    let place = format!("aarch64 {}", run.kernel.name);
    let Some(expected) = section.kernel.get(&run.kernel.name) else { return Vec::new() };
    let rare = expected.ran.iter().map(|(mnemonic, least)| (mnemonic, *least, run.ran(mnemonic))).filter(|(_, least, ran)| ran < least);
    let mut complaints: Complaints = rare
        .map(|(mnemonic, least, ran)| format!("{place}: `{mnemonic}` ran {ran:.2} times an operation, {least} were expected"))
        .collect();
    let strangers = run.strangers(code).into_iter().filter(|name| expected.runs.iter().all(|part| !name.contains(part.as_str())));
    complaints.extend(strangers.map(|name| format!("{place}: {name} ran, which {FILE} does not name in `runs`")));
    complaints
}

/// Each once.
fn names(names: &[&String]) -> String {
    let mut names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// Calls from any function of ours to what must never be called.
fn never(code: &Code, parts: &[String]) -> Complaints {
    let ours = code.functions().filter(|function| is_ours(&function.name));
    let mut complaints = Vec::new();
    for function in ours {
        let called = function.instructions.iter().filter_map(|instruction| instruction.target.as_deref());
        let bad = called
            .filter(|name| parts.iter().any(|part| name.contains(part.as_str())))
            .map(|name| format!("{} calls {name}", function.name));
        complaints.extend(bad);
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "\
0000000000001000 <verdict_kernels::probe::<verdict_simd::aarch64::neon::Neon>>:
    1000:\tcmeq\tv0.2d, v0.2d, v1.2d
    1004:\tbl\t2000 <core::panicking::panic_bounds_check>
    1008:\tbl\t3000 <memcpy>
    100c:\tret

0000000000002000 <core::panicking::panic_bounds_check>:
    2000:\tret

0000000000003000 <memcpy>:
    3000:\tret
";

    fn check(expected: &str, complaints: &[&str]) {
        let code = Code::parse(CODE);
        let expected: Expected = toml::from_str(expected).unwrap();
        let found = holds("probe", &expected, &code.kernel("probe", "Neon").unwrap());
        assert_eq!(found.len(), complaints.len(), "{found:?}");
        for (found, part) in found.iter().zip(complaints) {
            assert!(found.contains(part), "{found}");
        }
    }

    #[test]
    fn what_is_there_is_content() {
        check("least = { cmeq = 1, cm = 1 }\npanics = 1\ncalls = ['memcpy']", &[]);
    }

    #[test]
    fn a_missing_instruction_is_found() {
        check("least = { cmeq = 2, pmull = 1 }\npanics = 1\ncalls = ['memcpy']", &["1 times `cmeq`, 2 were", "0 times `pmull`, 1 were"]);
    }

    #[test]
    fn one_panic_too_many_is_found() {
        check("panics = 0\ncalls = ['memcpy']", &["1 calls to a panic, 0 were allowed"]);
    }

    #[test]
    fn what_ran_too_rarely_or_unnamed_is_found() {
        let code = Code::parse(CODE);
        let run = Run {
            kernel: Kernel { name: "probe".into(), of: "key".into() },
            operations: 2.0,
            instructions: [0x1000, 0x3000].iter().map(|address| &code.around(*address).unwrap().instructions[0]).collect(),
        };
        let check = |line: &str, complaints: usize| {
            let section: Section = toml::from_str(&format!("backend = 'Neon'\n[kernel.probe]\npanics = 0\n{line}")).unwrap();
            assert_eq!(ran(&section, &run, &code).len(), complaints, "{line}");
        };
        check("ran = { cmeq = 0.5 }\nruns = ['memcpy']", 0);
        check("ran = { cmeq = 1.0 }\nruns = ['memcpy']", 1);
        check("ran = { cmeq = 0.5 }", 1);
    }

    #[test]
    fn a_call_that_nobody_named_is_found() {
        check("panics = 1", &["calls memcpy"]);
    }

    #[test]
    fn an_outlined_atomic_anywhere_in_our_code_is_found() {
        let code = Code::parse("0000000000000010 <<verdict_tables::A as core::B>::f>:\n 10:\tbl\t20 <__aarch64_ldadd8_relax>\n");
        assert_eq!(never(&code, &["__aarch64_".into()]).len(), 1);
        let others = Code::parse("0000000000000010 <std::f>:\n 10:\tbl\t20 <__aarch64_ldadd8_relax>\n");
        assert_eq!(never(&others, &["__aarch64_".into()]).len(), 0);
    }
}
