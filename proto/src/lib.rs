//! The contract between `controller` and `agent`: what crosses the wire, and the types both sides think in.
//!
//! Generated types live in [`wire`] and stop at [`convert`]: the agent's service and the controller's link
//! translate at the door, everything behind them uses the domain types of this crate. Neither side may
//! change a message's meaning without a new protocol number in [`hello`].

pub mod audit;
pub mod check;
pub mod compose;
pub mod convert;
pub mod duration;
pub mod event;
pub mod exclude;
pub mod fault;
pub mod hello;
pub mod history;
pub mod hook;
pub mod id;
pub mod identity;
pub mod limits;
pub mod log;
pub mod path;
pub mod plan;
pub mod probe;
pub mod registry;
pub mod role;
pub mod stack;
pub mod status;
pub mod trust;
pub mod upgrade;
pub mod wire;
