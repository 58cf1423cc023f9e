//! controller.

pub mod clock;
pub mod private;
