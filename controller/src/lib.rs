//! The command on a workstation: reads a fleet, plans, deploys, and shows what happens.
//!
//! ```text
//! argv -> cli -> start -> command -> fleet (behind `command::Fleet`)
//!                            |  gather, confirm
//!                            v
//!                        fleet_run (a job for each place, so many at once)
//!                            |
//!                            v
//!                          link --proto::convert--> wire  == gRPC over `link::Dial` ==> agent
//! back:  wire -> link -> event -> board -> render -> terminal
//!                                   '----> exit
//! ```
//!
//! Tasks and queues: `fleet_run` owns a job for each place and one queue of 256 events to the screen (full: progress
//! is dropped, the rest waits); `link::stage` has one of 4 requests (full: reading files waits); `command::logs`
//! owns a reader for each place with a queue of 256 records (full: the reader waits, and the agent counts what it
//! drops); `command::Leave` owns the listener for signals; an `ssh::Session` owns a task for each of its streams, with a
//! queue of 32 MiB (full: that stream ends). Nothing else runs beside the caller.

mod admin;
pub mod agents;
pub mod amount;
pub mod board;
pub mod bundle;
mod checkup;
pub mod cli;
pub mod clock;
pub mod command;
pub mod docker_auth;
pub mod dotenv;
pub mod enrol;
pub mod error;
pub mod event;
pub mod exit;
pub mod fleet;
pub mod fleet_file;
pub mod fleet_run;
pub mod heads;
pub mod home;
pub mod identity;
pub mod link;
pub mod passphrase;
pub mod pki;
pub mod plan_file;
pub mod private;
pub mod process;
pub mod programs;
pub mod render;
mod route;
pub mod shelf;
pub mod shell;
pub mod ssh;
pub mod stack;
pub mod start;
pub mod suggest;
pub mod target;
mod tcp;
pub mod terminal;
pub mod tls;
mod tunnels;
mod upkeep;
pub mod workstation;

#[cfg(test)]
mod fake;
