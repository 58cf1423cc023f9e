//! The `controller` command: everything is in the library.

use std::process::ExitCode;

use controller::start::start;
use controller::workstation::Workstation;

fn main() -> ExitCode {
    let exit = start(std::env::args_os(), &Workstation::here());
    ExitCode::from(exit.code())
}
