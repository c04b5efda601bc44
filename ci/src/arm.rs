//! The ARM side: a cross toolchain from Debian, a Debian kernel, and a machine that qemu emulates.
//!
//! ```text
//!  toolchain   rustc 1.9x with the ARM library, cross linker, qemu-user as test runner
//!  kernel      linux-image-*-cloud-arm64, downloaded once into target/xtask/kernel
//!  debian      systemd and what it needs, unpacked from packages: a root directory, nothing of which is run here
//!  initramfs   a newc archive in memory: /init, verdictd, verdictctl, snapshot, questions
//!  machine     qemu-system-aarch64 -cpu neoverse-n1, console to a log, a hard deadline
//! ```
//! What runs here proves bytes and logic, never time: emulation has no honest clock, and it keeps x86-64's strong memory order.

pub mod debian;
pub mod initramfs;
pub mod kernel;
pub mod machine;
pub mod toolchain;
