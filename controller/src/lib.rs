//! controller.

pub mod error;
pub mod exit;
pub mod terminal;
