//! Identities over the years: the real programs, on this machine alone and without an engine.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

mod clocks;
mod door;
mod fleet;
mod renewing;
mod revoking;
mod roles;
mod rotating;
