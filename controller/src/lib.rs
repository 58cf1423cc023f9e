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
