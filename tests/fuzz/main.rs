//! One intake under libFuzzer: `deploy/fuzz` builds this and names the intake in `LONGSHORE_INTAKE`.
#![no_main]
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod intake;

use std::sync::OnceLock;

use intake::INTAKES;

/// The intake that this process runs.
static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("LONGSHORE_INTAKE").unwrap_or_default();
    let found = INTAKES.iter().find(|intake| intake.name == name);
    found.map_or_else(
        || {
            let names: Vec<&str> = INTAKES.iter().map(|intake| intake.name).collect();
            panic!("LONGSHORE_INTAKE={name:?} is none of {}", names.join(" "))
        },
        |intake| intake.run,
    )
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHOSEN.get_or_init(chosen)(bytes));
