//! Claims about longshore, driven as an operator drives it: the real controller, TLS, agent, engine and Compose.

mod bad_input;
mod deploys;
mod identities;
mod several_hosts;
mod world;
