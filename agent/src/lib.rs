//! The daemon on each server: takes stacks over mTLS gRPC, runs the real Compose, judges, commits, streams back.
//!
//! ```text
//! server (own accept loop, identity from the certificate) -> service -> stage -> planner -> deployer -> deploy
//!                                                               deploy -> engine::{docker, compose} -> process
//! back: facts -> redact -> journal(seq) -> service -> wire
//! ```
//!
//! A deploy's records: `work` (what to do) and `point` (what was there before the first change) live until its end and
//! let another agent go on; `applied` says what lies in the project directory; one rename of `current` commits. Every
//! record carries a checksum. The audit record is a chain of its own: what is let in stands there before it begins.
//!
//! Tasks and queues: `server` owns the accept loop and its connections; `deployer` owns one task for each running
//! deploy (one per stack), which clears up behind itself, one that clears up at start, and waits for them at the end;
//! `service` owns a task for each log reader (256 at most) with a queue of 1024 records (full: a follower loses lines
//! and is told how many, a reader of the past waits). A deploy has a queue of 256 lines from Compose (full: Compose
//! waits) and one of 64 layer updates (full: dropped).

pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod deploy;
pub mod deployer;
pub mod engine;
pub mod enroll;
pub mod files;
pub mod grant;
pub mod healthcheck;
pub mod hostkey;
pub mod journal;
pub mod logs;
pub mod peer;
pub mod planner;
pub mod private;
mod process;
pub mod projectdir;
pub mod record;
pub mod redact;
pub mod resolved;
pub mod server;
pub mod service;
pub mod stage;
pub mod store;
pub mod tls;
pub mod upgrade;
#[cfg_attr(not(any(test, feature = "test-util")), doc(hidden))]
pub mod whoami;
pub mod witness;

#[cfg(test)]
mod testing;
