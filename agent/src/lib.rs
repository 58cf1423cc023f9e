//! The daemon on each server.

pub mod engine;
mod process;
