//! Docker Compose: its plugin binary, run as a child of ours with every switch explicit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::id::ServiceName;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::opens::Opens;
use super::{
    Attach, ComposeProject, EngineError, EngineSettings, Named, Once, Placeholders, Resolution,
    Run, Up,
};
use crate::process::{self, Captured, Finished, How, Limits, ProcessError, Program};

mod argv;
#[cfg(feature = "test-util")]
pub mod intake;
mod opens;
pub(super) mod paths;
#[cfg(test)]
mod tests;
mod version;
mod words;

/// Where packages put the plugin, in Docker's own order of preference.
const PLACES: &[&str] = &[
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
const CONFIG: &str = "docker compose config";
/// Bytes of one resolved configuration.
const CONFIG_BYTES: usize = 64 * 1024 * 1024;
/// Reading files takes Compose a tenth of a second; a host that swaps may need much longer.
const CONFIG_DEADLINE: Duration = Duration::from_secs(60);
/// A host that boots has much else to read.
const VERSION_DEADLINE: Duration = Duration::from_secs(60);

/// The Compose plugin.
pub(super) struct Compose {
    settings: EngineSettings,
    found: OnceCell<Found>,
}

struct Found {
    path: PathBuf,
    version: String,
}

impl Compose {
    /// Looks for nothing yet.
    pub(super) fn new(settings: EngineSettings) -> Self {
        Self {
            settings,
            found: OnceCell::new(),
        }
    }

    /// The version, when it is one that we can drive.
    pub(super) async fn version(&self) -> Result<String, EngineError> {
        self.found().await.map(|found| found.version.clone())
    }

    /// What the files name. With the values Compose reads whatever it would deploy, and shows no env files; without
    /// them it shows those, and stumbles over some files (`${A:-./b}:/c:ro` has too many colons). So both are asked,
    /// and one answer is enough. Neither shows includes, nor what is not there: which placeholders it opens does.
    pub(super) async fn named(
        &self,
        project: &ComposeProject,
        placeholders: Placeholders<'_>,
    ) -> Result<Named, EngineError> {
        // A profile that is off now may be on in the next deploy; its files belong to the stack all the same.
        let everything = ComposeProject {
            profiles: vec!["*".to_owned()],
            ..project.clone()
        };
        // A host that has no watch left ships what the files name, and Compose says what is missing.
        let opens = Opens::watch(placeholders).or_else(|error| {
            tracing::warn!(%error, "cannot watch which files Compose opens");
            Opens::watch(Placeholders::none(placeholders.private))
        });
        let opens =
            opens.map_err(|error| local("cannot watch which files Compose opens", error))?;
        let (meant, written) = tokio::join!(
            self.config(&everything, argv::AS_MEANT),
            self.config(&everything, argv::AS_WRITTEN)
        );
        let opened = opens
            .seen()
            .map_err(|error| local("cannot tell which files Compose opened", error))?;
        let mut named = Named {
            more_host_files: !written
                .as_ref()
                .is_ok_and(|(config, _)| paths::shows_env_files(config)),
            ..Named::default()
        };
        let mut read = |config: &Value| {
            named.paths.extend(paths::named(config));
            named.services.extend(paths::services(config));
            named.host_files.extend(paths::host_files(config));
            named.project = named.project.take().or_else(|| paths::project(config));
        };
        match (meant, written) {
            // An empty file is no good include; with the real one it may go well.
            (Err(error), Err(_)) if opened.is_empty() => return Err(error),
            // What is wrong with the values is told when the stack is resolved, for the profiles that are active.
            (meant, written) => {
                let both = [meant, written].into_iter().flatten();
                for (mut config, _) in both {
                    paths::make_relative(&mut config, placeholders.private, &project.directory);
                    read(&config);
                }
            }
        }
        named.paths.sort();
        named.paths.dedup();
        named.opened = opened;
        Ok(named)
    }

    /// What Compose makes of the files.
    pub(super) async fn resolve(
        &self,
        project: &ComposeProject,
    ) -> Result<Resolution, EngineError> {
        let (config, stderr) = self.config(project, &[]).await?;
        let words = words::read(&stderr);
        Ok(Resolution {
            config,
            undefined: words.undefined,
            warnings: words.warnings,
        })
    }

    /// What Compose would label each service's containers with.
    pub(super) async fn config_hashes(
        &self,
        project: &ComposeProject,
    ) -> Result<BTreeMap<ServiceName, String>, EngineError> {
        let captured = self.read(project, argv::config_hashes()).await?;
        words::hashes(&captured.stdout).ok_or_else(|| local(CONFIG, "unreadable hashes"))
    }

    /// Makes the project's containers what the files say.
    pub(super) async fn up(
        &self,
        project: &ComposeProject,
        up: &Up,
        run: Run,
    ) -> Result<(), EngineError> {
        self.change(project, "up", argv::up(up), run).await
    }

    /// Removes the project's containers and networks.
    pub(super) async fn down(
        &self,
        project: &ComposeProject,
        volumes: bool,
        run: Run,
    ) -> Result<(), EngineError> {
        self.change(project, "down", argv::down(volumes), run).await
    }

    /// Runs a command in a new container of a service; its exit code.
    pub(super) async fn run_once(
        &self,
        project: &ComposeProject,
        once: &Once,
        attach: Attach,
    ) -> Result<i64, EngineError> {
        if attach.stop.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let program = self.program(project, argv::run(once)).await?;
        let limits = Limits {
            deadline: attach.deadline,
            stop: attach.stop,
        };
        let how = process::pour(&program, &attach.output, &limits).await;
        match how.map_err(|error| failed("docker compose run", &error))? {
            How::Exited(code) => Ok(code.into()),
            how => Err(ended(how, "run", Vec::new(), limits.deadline)),
        }
    }

    /// Ends children that an earlier agent left running. They are known by their working directory, which is ours
    /// alone: unlike a journaled group id it is true from the child's first instant and never means anybody else.
    pub(super) async fn end_leftovers(&self) -> Result<(), EngineError> {
        let folder = self.empty().await?.to_owned();
        process::end_all_in(&folder).await;
        Ok(())
    }

    async fn config(
        &self,
        project: &ComposeProject,
        switches: &[&str],
    ) -> Result<(Value, Vec<String>), EngineError> {
        let captured = self.read(project, argv::config(switches)).await?;
        let config = serde_json::from_slice(&captured.stdout)
            .map_err(|error| local(CONFIG, format!("unreadable output: {error}")))?;
        Ok((config, captured.stderr))
    }

    /// Runs a `config` to its good end.
    async fn read(
        &self,
        project: &ComposeProject,
        args: Vec<String>,
    ) -> Result<Captured, EngineError> {
        let program = self.program(project, args).await?;
        let captured = capture(&program, CONFIG_BYTES, CONFIG_DEADLINE, CONFIG).await?;
        match captured.how {
            How::Exited(0) => {}
            How::Exited(_) => {
                let output = words::plain(&captured.stderr);
                return Err(EngineError::Config { output });
            }
            how => return Err(ended(how, "config", captured.stderr, CONFIG_DEADLINE)),
        }
        if captured.cut {
            return Err(local(CONFIG, "its output is larger than 64 MiB"));
        }
        Ok(captured)
    }

    async fn change(
        &self,
        project: &ComposeProject,
        verb: &str,
        args: Vec<String>,
        run: Run,
    ) -> Result<(), EngineError> {
        if run.stop.is_cancelled() {
            // Even a child that is ended at once may have begun to change things.
            return Err(EngineError::Cancelled);
        }
        let program = self.program(project, args).await?;
        let limits = Limits {
            deadline: run.deadline,
            stop: run.stop,
        };
        let Finished { how, tail } = process::run(&program, run.lines, &limits)
            .await
            .map_err(|error| failed(&format!("docker compose {verb}"), &error))?;
        match how {
            How::Exited(0) => Ok(()),
            how => Err(ended(how, verb, tail, run.deadline)),
        }
    }

    async fn program(
        &self,
        project: &ComposeProject,
        verb: Vec<String>,
    ) -> Result<Program, EngineError> {
        let path = self.found().await?.path.clone();
        let mut args = argv::project(project, &self.settings)?;
        args.extend(verb);
        Ok(Program {
            path,
            args,
            environment: argv::environment(project, &self.settings),
            directory: self.empty().await?.to_owned(),
        })
    }

    async fn found(&self) -> Result<&Found, EngineError> {
        self.found.get_or_try_init(|| self.probe()).await
    }

    async fn probe(&self) -> Result<Found, EngineError> {
        let path = self.search().ok_or(EngineError::ComposeMissing)?;
        let what = "docker compose version";
        let program = Program {
            path: path.clone(),
            args: vec!["version".to_owned(), "--short".to_owned()],
            environment: argv::surroundings(&self.settings),
            directory: self.empty().await?.to_owned(),
        };
        let captured = capture(&program, 4096, VERSION_DEADLINE, what).await?;
        if captured.how != How::Exited(0) {
            let how = captured.how;
            return Err(ended(how, "version", captured.stderr, VERSION_DEADLINE));
        }
        let version = version::usable(&String::from_utf8_lossy(&captured.stdout))?;
        Ok(Found { path, version })
    }

    fn search(&self) -> Option<PathBuf> {
        let named = |place: &&str| Path::new(place).join("docker-compose");
        match &self.settings.plugin {
            Some(path) => Some(path.clone()).filter(|path| path.is_file()),
            None => PLACES.iter().map(named).find(|path| path.is_file()),
        }
    }

    async fn empty(&self) -> Result<&Path, EngineError> {
        let path = &self.settings.empty;
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(path)
            .await
            .map_err(|error| local(&format!("cannot make {}", path.display()), error))?;
        Ok(path)
    }
}

async fn capture(
    program: &Program,
    cap: usize,
    deadline: Duration,
    what: &str,
) -> Result<Captured, EngineError> {
    let limits = Limits {
        deadline,
        stop: CancellationToken::new(),
    };
    process::capture(program, cap, &limits)
        .await
        .map_err(|error| failed(what, &error))
}

fn ended(how: How, verb: &str, output: Vec<String>, deadline: Duration) -> EngineError {
    let status = match how {
        How::TimedOut => {
            return EngineError::TimedOut {
                what: format!("docker compose {verb}"),
                after: deadline,
            };
        }
        How::Cancelled => return EngineError::Cancelled,
        How::Exited(code) => format!("exit code {code}"),
        How::Signalled(signal) => format!("signal {signal}"),
    };
    let output = words::plain(&output);
    match output
        .iter()
        .find(|line| line.contains("Cannot connect to the Docker daemon"))
    {
        Some(line) => EngineError::Down(line.clone()),
        None => EngineError::Compose {
            verb: verb.to_owned(),
            status,
            output,
        },
    }
}

fn failed(what: &str, error: &ProcessError) -> EngineError {
    let cause = std::error::Error::source(error);
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    local(what, format!("{error}{cause}"))
}

fn local(what: &str, message: impl ToString) -> EngineError {
    EngineError::Local {
        what: what.to_owned(),
        message: message.to_string(),
    }
}
