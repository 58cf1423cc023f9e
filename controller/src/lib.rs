//! controller.

pub mod clock;
pub mod passphrase;
pub mod pki;
pub mod private;
