//! A controller that runs beside a test, and what it says as it says it.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use crate::world::{Case, command};

/// The running command.
pub(crate) struct Beside {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Beside {
    pub(crate) fn start(case: &Case<'_>, words: &[&str]) -> Self {
        Self::start_with(case, words, &[])
    }

    /// The same with more environment.
    pub(crate) fn start_with(case: &Case<'_>, words: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = command(case.folder.path(), &case.home(), words)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// The next line; none behind the last.
    pub(crate) fn line(&mut self) -> Option<String> {
        let line = self.lines.next()?.unwrap();
        self.said.push(line.clone());
        Some(line)
    }

    #[track_caller]
    pub(crate) fn until(&mut self, word: &str) {
        self.find(word);
    }

    /// The next line with this word.
    #[track_caller]
    pub(crate) fn find(&mut self, word: &str) -> String {
        loop {
            let Some(line) = self.line() else {
                panic!("{word:?} was never said:\n{}", self.said.join("\n"))
            };
            if line.contains(word) {
                return line;
            }
        }
    }

    /// Kills it, as nobody who is killed can say anything.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.join("\n")
    }

    /// Sends it a signal: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Its code and everything it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        while self.line().is_some() {}
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, self.said.join("\n"))
    }
}
