//! Values that programs print: whether a program may run on this workstation, and what it printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::limits::VALUE_BYTES;
use proto::stack::VarName;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::command::{Ended, Leave};
use crate::fleet::FILE_NAME;
use crate::process::{Told, Tool, run_tool};
use crate::terminal::Terminal;

mod answer;
mod confirmed;
mod error;
#[cfg(test)]
mod tests;

pub(crate) use confirmed::Confirmed;
use error::ProgramError;

/// Long enough for a person to unlock a password store.
const DEADLINE: Duration = Duration::from_secs(60);
/// A value and the newline behind it.
const OUTPUT_BYTES: usize = VALUE_BYTES + 2;
/// How long after a failure Ctrl-C may turn out to be its reason: both were told by the terminal at once.
const SETTLE: Duration = Duration::from_millis(200);
/// The flag that answers instead of a person.
const FLAG: &str = "--allow-commands";

/// A program that a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The values that it gives, each with the line of `fleet.toml` that says so; never empty.
    pub values: Vec<(VarName, usize)>,
}

impl Wanted {
    /// Puts values from the same program together, in the order of their first mention.
    #[must_use]
    pub fn each_once(values: impl IntoIterator<Item = (Vec<String>, VarName, usize)>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (argv, name, line) in values {
            let value = (name, line);
            match all.iter_mut().find(|known| known.argv == argv) {
                Some(known) if known.values.contains(&value) => {}
                Some(known) => known.values.push(value),
                None => all.push(Self {
                    argv,
                    values: vec![value],
                }),
            }
        }
        all
    }

    /// As `fleet.toml` writes it; nothing in it can steer a terminal.
    pub(crate) fn shown(&self) -> String {
        format!("{:?}", self.argv)
    }

    /// `DB_PASSWORD (fleet.toml line 12)`, and the others where there are any.
    pub(crate) fn names(&self) -> String {
        let name = |(name, line): &(VarName, usize)| format!("{name} ({FILE_NAME} line {line})");
        let names: Vec<String> = self.values.iter().map(name).collect();
        names.join(", ")
    }
}

/// What programs printed, by their words. `Debug` shows how many there are.
#[derive(Clone, Default)]
pub struct Printed(BTreeMap<Vec<String>, Arc<Zeroizing<String>>>);

impl Printed {
    /// The value that `argv` printed, once it was run.
    pub(crate) fn get(&self, argv: &[String]) -> Option<&str> {
        self.0.get(argv).map(|text| text.as_str())
    }

    pub(crate) fn insert(&mut self, argv: Vec<String>, text: Zeroizing<String>) {
        self.0.insert(argv, Arc::new(text));
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Printed({})", self.0.len())
    }
}

/// Runs programs for one invocation of this command, each once however many values come from it.
pub(crate) struct Programs {
    /// Where they run: the folder of `fleet.toml`.
    folder: PathBuf,
    terminal: Terminal,
    printed: Mutex<Printed>,
}

impl Programs {
    /// Runs programs in `folder`; `terminal` is where it is asked whether they may.
    pub(crate) fn new(folder: PathBuf, terminal: Terminal) -> Self {
        let printed = Mutex::default();
        Self {
            folder,
            terminal,
            printed,
        }
    }

    /// What has been printed so far.
    pub(crate) fn printed(&self) -> Printed {
        self.lock().clone()
    }

    /// Runs those of `wanted` that have not been run, one after the other: each may ask a person. Those that are
    /// not `confirmed` yet are shown and asked for, all at once, unless they are `allowed`.
    pub(crate) async fn run(
        &self,
        mut wanted: Vec<Wanted>,
        confirmed: &Confirmed,
        allowed: bool,
        leave: &Leave,
    ) -> Result<(), Ended> {
        {
            let known = self.lock();
            wanted.retain(|one| known.get(&one.argv).is_none());
        }
        self.confirm(&wanted, confirmed, allowed, leave).await?;
        for one in wanted {
            let text = self.run_one(&one, leave).await?;
            self.lock().insert(one.argv, text);
        }
        Ok(())
    }

    async fn confirm(
        &self,
        wanted: &[Wanted],
        confirmed: &Confirmed,
        allowed: bool,
        leave: &Leave,
    ) -> Result<(), Ended> {
        let mut new = Vec::new();
        for one in wanted {
            if !confirmed.knows(&one.argv).map_err(Fault::from)? {
                new.push(one);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        if !allowed {
            self.ask(&new, leave).await?;
        }
        let remembered = new.iter().try_for_each(|one| confirmed.add(&one.argv));
        if let Err(error) = remembered {
            // They may run now all the same; next time the question comes again.
            let why = Fault::from(error).causes.join(": ");
            self.terminal
                .note(format!("this will be asked again: {why}"));
        }
        Ok(())
    }

    async fn ask(&self, new: &[&Wanted], leave: &Leave) -> Result<(), Ended> {
        let headline = format!("{FILE_NAME} wants to run these programs on this workstation");
        let line = |one: &&Wanted| format!("{}  for {}", one.shown(), one.names());
        let lines: Vec<String> = new.iter().map(line).collect();
        let look = self.terminal.look();
        if !(look.in_tty && look.err_tty) {
            let what = format!("there is no terminal to ask on: {headline}");
            let fault = Fault::new(FaultKind::InvalidRequest, what).output(lines);
            return Err(fault.hint(format!("pass {FLAG} to answer it")).into());
        }
        self.terminal.note(format!("{headline}:"));
        for line in lines {
            self.terminal.note(format!("  {line}"));
        }
        let terminal = self.terminal.clone();
        let answer = tokio::task::spawn_blocking(move || terminal.confirm("Run them?", FLAG));
        let answer = tokio::select! {
            // A prompt that nobody answers is left behind; the process ends without it.
            () = leave.first() => return Err(Ended::Left),
            answer = answer => answer,
        };
        let broke = |error| Fault::new(FaultKind::Internal, "a question broke off").because(&error);
        if answer.map_err(broke)?? {
            return Ok(());
        }
        Err(Fault::from(ProgramError::Declined).into())
    }

    async fn run_one(&self, wanted: &Wanted, leave: &Leave) -> Result<Zeroizing<String>, Ended> {
        let look = self.terminal.look();
        let tool = Tool {
            argv: &wanted.argv,
            directory: &self.folder,
            terminal: look.in_tty && look.err_tty,
            deadline: DEADLINE,
            output_limit: OUTPUT_BYTES,
        };
        let Told {
            ended,
            stdout,
            stderr,
        } = run_tool(&tool, leave.first()).await;
        match answer::read(ended, &stdout) {
            Ok(text) => Ok(text),
            Err(_) if timeout(SETTLE, leave.first()).await.is_ok() => Err(Ended::Left),
            Err(why) => {
                let said = answer::last_lines(&stderr);
                let error = ProgramError::no_value(wanted, &self.folder, said, why);
                Err(Fault::from(error).into())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Printed> {
        // A map that is only ever added to has no state in between.
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
