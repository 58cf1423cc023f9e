//! Programs of the workspace, run to their end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A binary of the workspace, beside the test's own.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let folder = here.parent().and_then(Path::parent);
    let path = folder.unwrap_or(Path::new("")).join(name);
    let missing = "is missing: cargo build --workspace --bins";
    assert!(path.is_file(), "{} {missing}", path.display());
    path
}

/// Runs a program and kills it as soon as it has printed `moment`.
///
/// # Panics
/// When it cannot be started, or ended without having said that.
#[track_caller]
pub fn kill_at(command: &mut Command, moment: &str) {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().expect("the program is started");
    let out = child.stdout.take().expect("its output is piped");
    let seen = BufReader::new(out)
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains(moment));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    assert!(seen, "it never said {moment:?}");
}

/// How a run of a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Ended {
    /// What it printed, when it succeeded.
    ///
    /// # Panics
    /// When it did not, with all it said.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{}", self.said());
        self.out
    }

    /// All it said.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// What it said, when it ended with `code` and said every one of `words`.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn with(self, code: i32, words: &[&str]) -> String {
        let said = self.said();
        assert_eq!(self.code, code, "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        said
    }
}
