//! controller.

pub mod exit;
pub mod terminal;
