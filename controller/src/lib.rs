//! controller.

pub mod exit;
