//! controller.

pub mod board;
pub mod cli;
pub mod error;
pub mod event;
pub mod exit;
pub mod fleet_run;
pub mod link;
pub mod render;
pub mod terminal;
