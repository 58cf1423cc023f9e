//! Claims about `host add`: the real controller through a real sshd, on servers that have nothing of longshore yet.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod distributions;
mod emulated;
mod interrupted;
mod logins;
mod machine;
mod one_command;
mod refused;
mod returning;
mod world;
