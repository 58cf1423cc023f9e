//! Claims about the controller's SSH client, against real OpenSSH servers.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod agreements;
mod beside_openssh;
mod client;
mod host_keys;
mod logins;
mod server;
mod sessions;
mod streams;
mod ways;
