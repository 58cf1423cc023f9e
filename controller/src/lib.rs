//! controller.

pub mod clock;
pub mod fleet_file;
pub mod home;
pub mod identity;
pub mod passphrase;
pub mod pki;
pub mod private;
pub mod tls;
