//! Whether the long variants of tests are wanted, and where their counts and seeds go.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Set by `deploy/test --full`: the file that results are written into.
pub const REPORT: &str = "LONGSHORE_REPORT";

/// Whether the long variants run.
#[must_use]
pub fn wanted() -> bool {
    std::env::var_os(REPORT).is_some()
}

/// Writes a line of results into the report, and to standard error for whoever runs one test.
///
/// # Panics
/// When the report cannot be written: a figure that nobody can read is none.
#[expect(clippy::print_stderr, reason = "a figure belongs into a test's output")]
pub fn report(line: &str) {
    eprintln!("{line}");
    if let Some(path) = std::env::var_os(REPORT) {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let written = opened.and_then(|mut file| writeln!(file, "{line}"));
        assert!(written.is_ok(), "no report: {written:?}");
    }
}
