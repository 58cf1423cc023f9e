//! The rules of the house, held by tests: what may be depended on, and what may know what.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod dependencies;
mod layering;
