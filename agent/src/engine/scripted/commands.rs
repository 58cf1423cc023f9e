//! Commands in scripted containers: what they print, how they end, and which of them run.

use tokio::time::timeout;

use super::ScriptedEngine;
use super::config::Service;
use super::faults::Trouble;
use super::world::World;
use crate::engine::{Attach, ComposeProject, EngineError, Printed};

/// What a program prints and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// To its standard output.
    pub out: Vec<u8>,
    /// To its standard error.
    pub err: Vec<u8>,
    /// Its exit code.
    pub code: i64,
}

impl Answer {
    /// Prints a text and ends well.
    #[must_use]
    pub fn prints(text: &str) -> Self {
        Self {
            out: text.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    /// Complains and fails.
    #[must_use]
    pub fn fails(code: i64, text: &str) -> Self {
        Self {
            err: text.as_bytes().to_vec(),
            code,
            ..Self::default()
        }
    }
}

/// A command in a container.
#[derive(Debug, Clone)]
pub(super) struct Command {
    argv: Vec<String>,
    runs: bool,
}

impl World {
    /// Makes a command ready.
    pub(super) fn prepare_exec(
        &mut self,
        container: &str,
        argv: &[String],
    ) -> Result<String, EngineError> {
        if self.lines(container).is_none() {
            return Err(EngineError::Api {
                what: format!("a command in container {container}"),
                message: format!("No such container: {container}"),
            });
        }
        let id = self.new_id();
        let argv = argv.to_vec();
        self.execs.insert(id.clone(), Command { argv, runs: false });
        Ok(id)
    }

    /// Starts it; its words.
    pub(super) fn start_exec(&mut self, exec: &str) -> Result<Vec<String>, EngineError> {
        let command = self.execs.get_mut(exec).ok_or_else(|| EngineError::Api {
            what: "a command in a container".to_owned(),
            message: format!("No such exec instance: {exec}"),
        })?;
        command.runs = true;
        Ok(command.argv.clone())
    }

    /// It has ended.
    pub(super) fn forget_exec(&mut self, exec: &str) {
        self.execs.remove(exec);
    }

    /// The words of those that run.
    pub(super) fn running_commands(&self) -> Vec<Vec<String>> {
        let running = self.execs.values().filter(|command| command.runs);
        running.map(|command| command.argv.clone()).collect()
    }

    /// A container for one command.
    pub(super) fn add_one_off(
        &mut self,
        project: &ComposeProject,
        services: &[Service],
        name: &str,
    ) -> Result<(), EngineError> {
        let found = services.first().and_then(|service| {
            let image = self.image(&service.image)?;
            Some((service, image))
        });
        let Some((service, image)) = found else {
            return Err(EngineError::Compose {
                verb: "run".to_owned(),
                status: "exit code 1".to_owned(),
                output: vec!["no such service, or no such image".to_owned()],
            });
        };
        self.add(project, service, &image, name);
        Ok(())
    }
}

impl ScriptedEngine {
    /// Prints and ends, or goes wrong as the test wants it.
    pub(super) async fn run_command(
        &self,
        argv: &[String],
        trouble: Option<Trouble>,
        attach: &Attach,
    ) -> Result<i64, EngineError> {
        let program = argv.first().cloned().unwrap_or_default();
        let answer = self.world().answers.get(&program).cloned();
        let answer = answer.unwrap_or_default();
        for printed in [Printed::Out(answer.out), Printed::Err(answer.err)] {
            attach.output.send(printed).await.ok();
        }
        match trouble {
            _ if attach.stop.is_cancelled() => Err(EngineError::Cancelled),
            None => Ok(answer.code),
            Some(Trouble::Fail(error) | Trouble::Midway(error)) => Err(error),
            Some(Trouble::Hang) => match timeout(attach.deadline, attach.stop.cancelled()).await {
                Ok(()) => Err(EngineError::Cancelled),
                Err(_) => Err(EngineError::TimedOut {
                    what: "the command".to_owned(),
                    after: attach.deadline,
                }),
            },
        }
    }
}
