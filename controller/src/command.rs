//! What each verb does: the order of steps, over the seams to the fleet, the links and the screen.

mod ask;
mod attach;
mod audit;
mod cancel;
mod confirm;
mod deploy;
mod doctor;
mod down;
mod fetch;
mod follow;
mod history;
mod leave;
mod lock;
mod logs;
mod merge;
mod plan;
mod prepare;
mod revision;
mod rollback;
mod scope;
mod status;
mod upgrade;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::check::Finding;
use proto::fault::{Fault, FaultKind};
use proto::id::{HostName, ServiceName};
use proto::plan::Plan;

use crate::agents::{Agent, Arch};
use crate::cli::{
    AttachArgs, AuditArgs, CancelArgs, ConfirmArgs, DeployArgs, DoctorArgs, DownArgs, HistoryArgs,
    HostUpgradeArgs, LogsArgs, Output, PlanArgs, RollbackArgs, SourceArgs, StatusArgs, VersionArgs,
};
use crate::docker_auth::Logins;
use crate::error::Failure;
use crate::event::Place;
use crate::exit::Exit;
use crate::link::{Dial, Patience, Supply, VERSION};
use crate::render::Kind;
use crate::shelf::Shelf;
use crate::terminal::Terminal;

pub use leave::Leave;

/// What a target word came down to: one stack on one host, or some of its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub place: Place,
    /// Which services; empty for all.
    pub services: Vec<ServiceName>,
}

/// What commands need to know of a fleet. What is not a future may block, run commands and ask.
pub trait Fleet: Send + Sync + 'static {
    /// What target words name, in the fleet's order; no words name everything. A place may come up several
    /// times, with different services.
    ///
    /// # Errors
    /// For a name that is not in the fleet, with the nearest one as a hint.
    fn targets(&self, words: &[String]) -> Result<Vec<Target>, Fault>;

    /// The same host by host, with hosts that have no stack yet.
    ///
    /// # Errors
    /// As [`targets`](Self::targets).
    fn by_host(&self, words: &[String]) -> Result<Vec<(HostName, Vec<Target>)>, Fault> {
        let mut hosts: Vec<(HostName, Vec<Target>)> = Vec::new();
        for target in self.targets(words)? {
            match hosts
                .iter_mut()
                .find(|(host, _)| *host == target.place.host)
            {
                Some((_, targets)) => targets.push(target),
                None => hosts.push((target.place.host.clone(), vec![target])),
            }
        }
        Ok(hosts)
    }

    /// The agent of a version for a machine, as it is kept on this workstation.
    ///
    /// # Errors
    /// When there is none, or it is not what it should be.
    fn agent(&self, version: &str, arch: Arch) -> Result<Agent, Fault> {
        let what = format!("there is no agent {version} for {arch} here");
        Err(Fault::new(FaultKind::UnknownName, what))
    }

    /// What is wrong on this workstation itself.
    fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// How to connect to a host.
    ///
    /// # Errors
    /// When there is no identity for this fleet.
    fn dial(&self, host: &HostName) -> Result<Arc<dyn Dial>, Fault>;

    /// Runs the programs that values of `targets` come from, so that [`gather`](Self::gather) finds what they
    /// printed. Those that are new on this workstation are shown and asked for first. A fleet whose values come
    /// from no program has nothing to do.
    ///
    /// # Errors
    /// When one may not run, fails or prints no value, or somebody left.
    fn run_commands<'a>(
        &'a self,
        _targets: &'a [Target],
        _source: &'a SourceArgs,
        _leave: &'a Leave,
    ) -> BoxFuture<'a, Result<(), Ended>> {
        async { Ok(()) }.boxed()
    }

    /// A stack as it is now on this workstation, with the values for that host; `env` as typed behind `--env`.
    ///
    /// # Errors
    /// When the stack or a value is not valid.
    fn gather(&self, target: &Target, env: &[String]) -> Result<Box<dyn Supply>, Fault>;

    /// Checks of a stack what only its plan tells: that its hooks name services that there are.
    ///
    /// # Errors
    /// When one names another.
    fn check_hooks(&self, _place: &Place, _plan: &Plan) -> Result<(), Fault> {
        Ok(())
    }

    /// Where what a stack's hooks print is kept on this workstation.
    fn shelf(&self, _place: &Place) -> Shelf {
        Shelf::default()
    }

    /// Credentials for those registries that there are any for, within a deadline of its own.
    fn auths<'a>(&'a self, registries: &'a [String]) -> BoxFuture<'a, Result<Logins, Fault>>;
}

/// What every command is given.
#[derive(Clone)]
pub struct Context {
    /// Where to print and ask.
    pub terminal: Terminal,
    /// The fleet.
    pub fleet: Arc<dyn Fleet>,
    /// Whether somebody wants to leave.
    pub leave: Leave,
    /// The present in unix nanoseconds.
    pub now_nanos: i64,
    /// How long to follow what cannot be reached.
    pub patience: Patience,
}

impl Context {
    /// Runs what may block where it may, unless somebody leaves meanwhile.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Ended> {
        let context = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&context));
        tokio::select! {
            // A prompt that nobody answers is left behind; the process ends without it.
            () = self.leave.first() => Err(Ended::Left),
            done = done => {
                let done = done.map_err(|error| Fault::new(FaultKind::Internal, "a step broke off").because(&error))?;
                Ok(done?)
            }
        }
    }

    async fn targets(&self, words: &[String]) -> Result<Vec<Target>, Ended> {
        let words = words.to_vec();
        let targets = self
            .blocking(move |context| context.fleet.targets(&words))
            .await?;
        Ok(each_place_once(targets))
    }

    async fn by_host(&self, words: &[String]) -> Result<Vec<(HostName, Vec<Target>)>, Ended> {
        let words = words.to_vec();
        let hosts = self
            .blocking(move |context| context.fleet.by_host(&words))
            .await?;
        let once = |(host, targets)| (host, each_place_once(targets));
        Ok(hosts.into_iter().map(once).collect())
    }

    async fn confirm(&self, question: String, flag: &'static str) -> Result<bool, Ended> {
        self.blocking(move |context| context.terminal.confirm(&question, flag))
            .await
    }
}

/// One target for each place: all services once something asks for all of them.
fn each_place_once(targets: Vec<Target>) -> Vec<Target> {
    let mut merged: Vec<Target> = Vec::new();
    for target in targets {
        match merged.iter_mut().find(|known| known.place == target.place) {
            None => merged.push(target),
            Some(known) if known.services.is_empty() || target.services.is_empty() => {
                known.services.clear();
            }
            Some(known) => {
                let new = |service: &ServiceName| !known.services.contains(service);
                let new: Vec<_> = target.services.into_iter().filter(new).collect();
                known.services.extend(new);
            }
        }
    }
    merged
}

/// Why a command ended before its end.
#[derive(Debug)]
pub enum Ended {
    /// Something went wrong.
    Failed(Failure),
    /// Somebody left before anything was changed.
    Left,
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.into())
    }
}

/// The verbs that need a fleet.
#[derive(Debug)]
pub enum FleetVerb {
    /// `plan`.
    Plan(PlanArgs),
    /// `deploy`.
    Deploy(DeployArgs),
    /// `attach`.
    Attach(AttachArgs),
    /// `cancel`.
    Cancel(CancelArgs),
    /// `confirm`.
    Confirm(ConfirmArgs),
    /// `rollback`.
    Rollback(RollbackArgs),
    /// `history`.
    History(HistoryArgs),
    /// `audit`.
    Audit(AuditArgs),
    /// `status`.
    Status(StatusArgs),
    /// `doctor`.
    Doctor(DoctorArgs),
    /// `logs`.
    Logs(LogsArgs),
    /// `down`.
    Down(DownArgs),
    /// `host upgrade`.
    Upgrade(HostUpgradeArgs),
}

/// Runs a verb. Prints everything that is to be told, failures too; what comes back is the code alone.
pub async fn run(verb: FleetVerb, context: &Context) -> Exit {
    let done = match verb {
        FleetVerb::Plan(args) => plan::run(args, context).await,
        FleetVerb::Deploy(args) => deploy::run(args, context).await,
        FleetVerb::Attach(args) => attach::run(args, context).await,
        FleetVerb::Cancel(args) => cancel::run(args, context).await,
        FleetVerb::Confirm(args) => confirm::run(args, context).await,
        FleetVerb::Rollback(args) => rollback::run(args, context).await,
        FleetVerb::History(args) => history::run(args, context).await,
        FleetVerb::Audit(args) => audit::run(args, context).await,
        FleetVerb::Status(args) => status::run(args, context).await,
        FleetVerb::Doctor(args) => doctor::run(args, context).await,
        FleetVerb::Logs(args) => logs::run(args, context).await,
        FleetVerb::Down(args) => down::run(args, context).await,
        FleetVerb::Upgrade(args) => upgrade::run(args, context).await,
    };
    match done {
        Ok(exit) => exit,
        Err(Ended::Left) => {
            context.terminal.note("left; nothing was changed");
            Exit::Left
        }
        Err(Ended::Failed(failure)) => {
            tell(&context.terminal, &failure);
            failure.exit()
        }
    }
}

/// A failure on standard error.
pub fn tell(terminal: &Terminal, failure: &Failure) {
    for line in failure.lines() {
        terminal.note(line);
    }
}

/// Shows the version of this command and the protocols it speaks.
///
/// # Errors
/// Never in practice; the version has a JSON form.
pub fn version(args: &VersionArgs, terminal: &Terminal) -> Result<Exit, Fault> {
    let protocol = proto::hello::PROTOCOL;
    match args.output.output {
        Output::Table if protocol.min == protocol.max => {
            terminal.say(format!("controller {VERSION}, protocol {}", protocol.max));
        }
        Output::Table => {
            let proto::hello::ProtocolRange { min, max } = protocol;
            terminal.say(format!("controller {VERSION}, protocols {min} to {max}"));
        }
        Output::Json | Output::Jsonl => terminal.json(&serde_json::json!({
            "version": VERSION,
            "protocol": protocol,
        }))?,
    }
    Ok(Exit::Done)
}

/// How events are shown for an output.
fn kind(output: Output) -> Kind {
    match output {
        Output::Table => Kind::Human,
        Output::Json | Output::Jsonl => Kind::Json,
    }
}

/// The present in unix milliseconds.
fn now_millis(context: &Context) -> u64 {
    u64::try_from(context.now_nanos / 1_000_000).unwrap_or_default()
}

/// Nobody means no place at all.
fn some_place(targets: &[Target], words: &[String]) -> Result<(), Fault> {
    if targets.is_empty() {
        let what = format!("{} names no stack on any host", words.join(" "));
        return Err(Fault::new(FaultKind::UnknownName, what)
            .hint("a host's stacks are in its `stacks` in fleet.toml"));
    }
    Ok(())
}

/// Verbs that work on whole stacks refuse single services instead of doing more than was asked.
fn whole_stacks(targets: &[Target], verb: &str) -> Result<(), Fault> {
    let Some(part) = targets.iter().find(|target| !target.services.is_empty()) else {
        return Ok(());
    };
    let what = format!(
        "`{verb}` works on whole stacks, and {} was narrowed to services",
        part.place
    );
    Err(Fault::new(FaultKind::InvalidRequest, what).hint(format!("name it as {}", part.place)))
}

#[cfg(test)]
mod tests;
