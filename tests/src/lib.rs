//! Real hosts, a real registry and images on one machine, for the suites that drive both binaries.
//!
//! - [`lab`]: `Lab` is one run; it makes `Host`s (own network, processes, engine and sshd), `Registry`s
//!   and `Image`s, and leaves nothing behind, not even when it is killed.
//! - [`command`]: the programs themselves, run to their end.
//! - [`example`]: a fleet of `deploy/examples`, ready for a deploy into the lab.
//! - [`full`]: the long variants of tests, and the report that they write.
//! - [`loopback`]: addresses for programs that run beside the test.
//! - [`opq`]: the example fleet of `deploy/examples/opq`, ready for a deploy into the lab.

pub mod command;
pub mod example;
pub mod full;
pub mod lab;
pub mod loopback;
pub mod opq;
