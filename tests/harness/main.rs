//! The harness's own suite: what every other suite takes for granted about hosts, registries and images.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod example;
mod faults;
mod hosts;
mod images;
mod leavings;
