//! controller.

pub mod cli;
pub mod error;
pub mod exit;
pub mod terminal;
