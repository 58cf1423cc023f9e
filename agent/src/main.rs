//! The agent's process: arguments, logging, exit code; nothing else.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::cli::{Arguments, Verb};
use agent::config::Config;
use agent::daemon::Context;
use agent::deployer::Deployer;
use agent::engine::{EngineSettings, RealEngine};
use agent::service::AgentService;
use agent::store::Store;
use agent::tls::TrustError;
use agent::upgrade::Upgrades;
use agent::{clock, daemon, enroll, whoami};
use clap::Parser as _;
use proto::fault::{Fault, FaultKind};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const USAGE: u8 = 64;
const LAST_CALLS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let usage = error.use_stderr();
            // A closed pipe has no better place for this.
            error.print().ok();
            return ExitCode::from(if usage { USAGE } else { 0 });
        }
    };
    match dispatch(&arguments.folder, arguments.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&fault).ok();
            ExitCode::FAILURE
        }
    }
}

fn dispatch(folder: &Path, verb: Verb) -> Result<(), Fault> {
    match verb {
        Verb::Enroll { name } => say(&enroll::enroll(folder, &name)?),
        Verb::Accept { file } => {
            let grant = read(file.as_deref())?;
            let accepted = enroll::accept(folder, &grant, clock::now())?;
            say(&format!("this host is {}\n", accepted.host))
        }
        Verb::Identity { json } => identity(folder, json),
        Verb::Run => run(folder),
        Verb::Version => say(&format!("agent {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

fn identity(folder: &Path, json: bool) -> Result<(), Fault> {
    let Some(installed) = whoami::installed(folder)? else {
        return Err(TrustError::NotEnrolled(folder.to_owned()).into());
    };
    if !json {
        return say(&installed.to_string());
    }
    let text = serde_json::to_string(&installed)
        .map_err(|error| Fault::new(FaultKind::Internal, "no JSON form").because(&error))?;
    say(&format!("{text}\n"))
}

fn run(folder: &Path) -> Result<(), Fault> {
    let filter = std::env::var("RUST_LOG").ok();
    let filter = filter.and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
    let config = Config::load(&folder.join("agent.toml"))?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Fault::new(FaultKind::Failed, "cannot start").because(&error))?;
    let upgrades = Arc::new(Upgrades::of_this_process());
    let served = runtime.block_on(serve(folder, &config, &upgrades));
    if !upgrades.replaced() {
        return served;
    }
    // What is still read or written belongs to calls that are over.
    runtime.shutdown_timeout(LAST_CALLS);
    let what = "the launcher cannot be started";
    Err(Fault::new(FaultKind::Failed, what).because(&upgrades.start_again()))
}

async fn serve(folder: &Path, config: &Config, upgrades: &Arc<Upgrades>) -> Result<(), Fault> {
    let engine = RealEngine::new(EngineSettings {
        plugin: config.compose.clone(),
        socket: config.docker.clone(),
        empty: config.state.join("empty"),
        // What `~` meant when a stack was started by hand.
        home: Some(PathBuf::from("/root")),
    });
    let store = Arc::new(Store::open(&config.state)?);
    let audit = Arc::clone(store.audit());
    let deployer = Arc::new(Deployer::new(store, Arc::new(engine))?);
    deployer.recover().await;
    let (shared, upgrades) = (Arc::clone(&deployer), Arc::clone(upgrades));
    let stop = CancellationToken::new();
    let served = async {
        let service = move |context: Context<'_>| {
            let host = context.trust.current().host().clone();
            AgentService::new(host, shared, context.stop)
                .known_by(context.trust)
                .upgraded_by(upgrades)
        };
        let served = daemon::run(folder, config, audit, stop.clone(), service).await;
        stop.cancel();
        served
    };
    // At once, not when the last caller has gone: whoever ends this agent may be ending its Compose too, and that one's
    // failure must not count.
    let ended = async {
        stop.cancelled().await;
        deployer.shut_down().await;
    };
    let (served, ()) = tokio::join!(served, ended);
    Ok(served?)
}

fn read(file: Option<&Path>) -> Result<String, Fault> {
    let mut text = String::new();
    let result = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => std::fs::File::open(file).and_then(|file| bounded(file, &mut text)),
        None => bounded(io::stdin().lock(), &mut text),
    };
    let what = "cannot read the grant";
    result.map_err(|error| Fault::new(FaultKind::InvalidRequest, what).because(&error))?;
    Ok(text)
}

fn bounded(source: impl io::Read, text: &mut String) -> io::Result<usize> {
    source.take(1024 * 1024).read_to_string(text)
}

fn say(text: &str) -> Result<(), Fault> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Fault::new(FaultKind::Failed, "cannot print").because(&error))
}

fn complain(fault: &Fault) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "error: {fault}")?;
    for cause in &fault.causes {
        writeln!(out, "caused by: {cause}")?;
    }
    for line in &fault.output {
        writeln!(out, "  {line}")?;
    }
    for hint in &fault.hints {
        writeln!(out, "hint: {hint}")?;
    }
    Ok(())
}
