//! controller.

pub mod cli;
pub mod error;
pub mod event;
pub mod exit;
pub mod terminal;
