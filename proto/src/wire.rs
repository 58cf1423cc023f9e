//! Generated messages and services. Only `convert`, the agent's service and the controller's link may use them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated code; the schema documents it"
)]

/// Version 1 of the wire.
pub mod v1 {
    tonic::include_proto!("longshore.v1");
}
