//! controller.

pub mod clock;
pub mod fleet_file;
pub mod home;
pub mod identity;
pub mod passphrase;
pub mod pki;
pub mod private;
pub mod tls;
//! What the `controller` command is made of: inputs read and checked here, then sent, then shown.

pub mod bundle;
pub mod docker_auth;
pub mod dotenv;
pub mod fleet;
pub mod process;
pub mod shell;
pub mod stack;
pub mod suggest;
pub mod target;
