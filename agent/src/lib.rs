//! The daemon on each server.

pub mod clock;
pub mod config;
pub mod daemon;
pub mod deploy;
pub mod deployer;
pub mod duration;
pub mod engine;
pub mod enroll;
pub mod files;
pub mod grant;
pub mod hostkey;
pub mod journal;
pub mod logs;
pub mod peer;
pub mod planner;
pub mod private;
pub mod projectdir;
pub mod redact;
pub mod resolved;
pub mod server;
pub mod stage;
pub mod store;
pub mod tls;

#[cfg(test)]
mod testing;
mod process;
