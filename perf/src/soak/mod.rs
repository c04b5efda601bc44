//! What a daemon must survive, each as a check that ends: swaps under load, hostile peers, a peer that never reads.
//!
//! | check | does | holds |
//! |---|---|---|
//! | `swap` | 1,000 SIGHUPs between two snapshots, open-loop load meanwhile | no request lost, every frame's answers are of the generation that it names |
//! | `hostile` | 10,000 mutated frames; 1,000 connections that trickle, stall or vanish | alive, a control connection answered correctly throughout, memory flat |
//! | `deaf` | a peer that asks and never reads | cut off at a bound of bytes and time, the others served |
//!
//! All peers are on loopback; all counts and times are bounded. Choices come from the printed seed.

pub mod control;
pub mod deaf;
pub mod hostile;
pub mod swap;
