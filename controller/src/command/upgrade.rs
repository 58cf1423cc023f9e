//! `host upgrade`: a new agent on one host first, then on the others; it stops at the first that went back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::HostName;
use proto::limits::{AGENT_TRIAL, AGENT_TRIES};
use tokio::time::Instant;

use super::{Context, Ended};
use crate::agents::{Agent, Arch};
use crate::cli::{HostUpgradeArgs, Output};
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::{Came, Link, Taken, VERSION};
use crate::render::upgrade::{Upgraded, What, line};

/// How often an upload that broke off is gone on with.
const UPLOADS: u32 = 5;
/// Beside the tries themselves: ending the old agent, and what a supervisor takes to start the next.
const SPARE: Duration = Duration::from_secs(60);

pub(super) async fn run(args: HostUpgradeArgs, context: &Context) -> Result<Exit, Ended> {
    let hosts = context.by_host(&args.targets).await?;
    let hosts: Vec<HostName> = hosts.into_iter().map(|(host, _)| host).collect();
    let version = args.to.unwrap_or_else(|| VERSION.to_owned());
    let (first, rest) = match hosts.as_slice() {
        [] => {
            let what = "there is no host to upgrade";
            return Err(Fault::new(FaultKind::UnknownName, what).into());
        }
        [first, rest @ ..] => (first.clone(), rest.to_vec()),
    };
    let rollout = Arc::new(Rollout {
        context: context.clone(),
        version,
        output: args.output.output,
        stopped: AtomicBool::new(false),
    });
    let work = async {
        let mut all = rollout.on(vec![first], 1).await?;
        all.extend(rollout.on(rest, args.width.parallel.into()).await?);
        Ok::<_, Fault>(all)
    };
    let all = tokio::select! {
        all = work => all?,
        () = context.leave.first() => {
            context.terminal.note("left; a host that was being upgraded keeps its old agent or goes back to it");
            return Ok(Exit::Left);
        }
    };
    if args.output.output == Output::Json {
        context.terminal.json(&all)?;
    }
    Ok(Exit::overall(
        all.iter().map(|upgraded| upgraded.what.exit()),
    ))
}

/// One version on its way through the fleet.
struct Rollout {
    context: Context,
    version: String,
    output: Output,
    /// A host went back, or could not be upgraded: no other is begun.
    stopped: AtomicBool,
}

impl Rollout {
    async fn on(
        self: &Arc<Self>,
        hosts: Vec<HostName>,
        width: usize,
    ) -> Result<Vec<Upgraded>, Fault> {
        let done = fleet_run::each(hosts, width, |host| {
            let this = Arc::clone(self);
            async move { this.one(host).await }
        });
        done.await.into_iter().collect()
    }

    async fn one(&self, host: HostName) -> Result<Upgraded, Fault> {
        let began = Instant::now();
        let what = if self.stopped.load(Ordering::SeqCst) {
            What::Skipped
        } else {
            let done = self.upgrade(&host).await;
            done.unwrap_or_else(|fault| What::Failed { fault })
        };
        if what.exit() != Exit::Done {
            self.stopped.store(true, Ordering::SeqCst);
        }
        let upgraded = Upgraded {
            host,
            version: self.version.clone(),
            seconds: began.elapsed().as_secs_f64(),
            what,
        };
        match self.output {
            Output::Table => self.context.terminal.say(line(&upgraded)),
            Output::Jsonl => self.context.terminal.json(&upgraded)?,
            Output::Json => {}
        }
        Ok(upgraded)
    }

    async fn upgrade(&self, host: &HostName) -> Result<What, Fault> {
        let dial = self.context.fleet.dial(host)?;
        let mut link = Link::connect(host.clone(), dial).await?;
        let from = link.facts().build.clone();
        let agent = self.agent(&link).await?;
        let to = agent.build();
        let mut tries = 0;
        loop {
            tries += 1;
            match link.upgrade(&agent).await {
                Ok(Taken::Running) => return Ok(What::Current { build: to }),
                Ok(Taken::Starting) => break,
                Err(fault) if fault.kind != FaultKind::Unreachable || tries >= UPLOADS => {
                    return Err(fault);
                }
                Err(_) => {}
            }
            // Perhaps only its last answer was lost.
            let again = link.again().await?;
            if again.facts().build == to {
                break;
            }
            link = again;
        }
        self.note(host, format!("{to} is there and is started"));
        match link
            .upgraded(&agent, AGENT_TRIAL * AGENT_TRIES + SPARE)
            .await?
        {
            Came::New => Ok(What::Upgraded { from, to }),
            Came::Old(why) => Ok(What::WentBack { from, to, why }),
        }
    }

    async fn agent(&self, link: &Link) -> Result<Agent, Fault> {
        let arch: Arch = link.facts().architecture.parse()?;
        let (fleet, version) = (Arc::clone(&self.context.fleet), self.version.clone());
        let found = tokio::task::spawn_blocking(move || fleet.agent(&version, arch)).await;
        found
            .map_err(|error| Fault::new(FaultKind::Internal, "a step broke off").because(&error))?
    }

    fn note(&self, host: &HostName, text: String) {
        if self.output == Output::Table {
            self.context.terminal.note(format!("{host}: {text}"));
        }
    }
}
