//! controller.

pub mod clock;
pub mod fleet_file;
pub mod passphrase;
pub mod pki;
pub mod private;
