//! The scripts that run on a server, in scratch roots.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

mod installing;
mod launching;
mod root;
