//! `container/seccomp.json`, in the form of Docker and Kubernetes, as filters that a thread installs on itself.

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

/// What becomes of a call that the profile does not list.
#[derive(Clone, Copy, PartialEq)]
pub enum Unlisted {
    /// As the profile says.
    Fails,
    /// The process ends by SIGSYS.
    Kills,
}

/// One program; a call is allowed when every program of its thread allows it.
pub struct Filter(BpfProgram);

impl Filter {
    pub fn install(&self) {
        apply_filter(&self.0).unwrap();
    }

    /// Everything but these calls, which get this error.
    pub fn denying(calls: &[&str], errno: u64) -> Self {
        let rules: Vec<Value> = calls.iter().map(|call| json!({"syscall": call})).collect();
        Filter(compile(json!("allow"), json!({"errno": errno}), &rules).unwrap())
    }
}

fn compile(mismatch: Value, matched: Value, rules: &[Value]) -> Result<BpfProgram, seccompiler::Error> {
    let text = json!({"all": {"mismatch_action": mismatch, "match_action": matched, "filter": rules}}).to_string();
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(compile_from_json(text.as_bytes(), architecture)?.remove("all").unwrap())
}

/// The profile: one filter for each rule that gives an error of its own, and last that of all it allows, under which no other can be installed.
pub fn profile(unlisted: Unlisted) -> Vec<Filter> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../container/seccomp.json");
    let profile: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let (mut allowed, mut refused) = (Vec::new(), Vec::new());
    for rule in profile["syscalls"].as_array().unwrap() {
        // What this architecture never had (`open` on ARM) is left out, as libseccomp does.
        let names = rule["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let here = names.filter(|name| compile(json!("allow"), json!("trap"), &[json!({"syscall": name})]).is_ok());
        let arguments: Vec<Value> = rule["args"].as_array().into_iter().flatten().map(condition).collect();
        let here = here.map(|name| match arguments.is_empty() {
            true => json!({"syscall": name}),
            false => json!({"syscall": name, "args": arguments}),
        });
        match rule["action"].as_str().unwrap() {
            "SCMP_ACT_ALLOW" => allowed.extend(here),
            "SCMP_ACT_ERRNO" => {
                let rules: Vec<Value> = here.collect();
                refused.push(Filter(compile(json!("allow"), json!({"errno": rule["errnoRet"]}), &rules).unwrap()));
                allowed.extend(rules);
            }
            other => panic!("{other}"),
        }
    }
    assert!(allowed.len() > 100, "only {} calls", allowed.len());
    let mismatch = match unlisted {
        Unlisted::Kills => json!("kill_process"),
        Unlisted::Fails => json!({"errno": profile["defaultErrnoRet"]}),
    };
    refused.push(Filter(compile(mismatch, json!("allow"), &allowed).unwrap()));
    refused
}

fn condition(argument: &Value) -> Value {
    let (operator, value) = match argument["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => (json!("eq"), &argument["value"]),
        "SCMP_CMP_MASKED_EQ" => (json!({"masked_eq": argument["value"]}), &argument["valueTwo"]),
        other => panic!("{other}"),
    };
    json!({"index": argument["index"], "type": "qword", "op": operator, "val": value})
}
