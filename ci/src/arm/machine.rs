//! A whole ARM machine, emulated: Neoverse N1 (Altra, Graviton 2: NEON, AES, dot product, no SVE), two CPUs, no disk, no network.
//!
//! Its PID 1 is `bin/arm-init.rs`, or systemd, which runs `bin/arm-operator.rs`. The console goes to the step's log; power-off ends qemu, and so does a kernel panic (`panic=-1` with
//! `-no-reboot`). From start to power-off it takes seconds, so a minute means that it hangs.

use crate::arm::toolchain::require;
use crate::child::Log;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const QEMU: &str = "/usr/bin/qemu-system-aarch64";
/// Generous for a busy machine.
const LIMIT: Duration = Duration::from_secs(8 * 60);
/// Printed by what runs in it when all went well, and only then.
pub const ALL_WELL: &str = "arm-init: all as expected";

/// Boots it and waits for its power-off. Whether all went well is in the log.
pub fn boot(log: &Log, kernel: &Path, initramfs: &Path, memory_mib: u32) -> Result<(), String> {
    require(QEMU)?;
    let mut qemu = Command::new(QEMU);
    qemu.args(["-machine", "virt", "-cpu", "neoverse-n1", "-smp", "2", "-nographic", "-no-reboot", "-nic", "none"])
        .args(["-m", &memory_mib.to_string()])
        .args(["-device", "virtio-rng-pci"]) // or the first getrandom waits for entropy
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyAMA0 panic=-1 quiet systemd.show_status=0"]);
    log.run(&mut qemu, LIMIT)?;
    if log.text().lines().any(|line| line.trim() == ALL_WELL) { Ok(()) } else { Err(format!("the console has no line `{ALL_WELL}`")) }
}
