//! The way from files on this workstation to a plan on every host: gather, connect, stage, credentials, plan.

use std::collections::HashMap;
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::{HostName, RevisionId};
use proto::plan::{Plan, Scope};
use proto::registry::RegistryAuth;
use tokio::sync::{Mutex, OnceCell};

use super::lock::Lock;
use super::{Context, Ended, Fleet, Target, scope, some_place};
use crate::cli::SourceArgs;
use crate::docker_auth::Logins;
use crate::event::{Own, Place};
use crate::fleet_run::{self, Reporter};
use crate::link::{Link, Staged, Supply};
use crate::plan_file::SavedPlace;
use crate::render::Screen;
use crate::render::plan::{PlanView, changes};
use crate::shell;

/// What a plan is made from.
pub(super) enum Source {
    /// A stack on this workstation.
    Stack {
        supply: Box<dyn Supply>,
        scope: Scope,
        /// Whether what was started by hand may be taken over, or somebody can be asked.
        adopt: bool,
    },
    /// A plan that was shown before, of what was brought to the host then.
    Saved(Box<SavedPlace>),
}

/// What a host has, and what it would do with it.
struct Planned {
    scope: Scope,
    staged: Staged,
    auths: Vec<RegistryAuth>,
    plan: Plan,
}

/// A place whose host has answered with a plan.
pub(super) struct Prepared {
    pub(super) link: Link,
    pub(super) staged: Staged,
    pub(super) scope: Scope,
    pub(super) auths: Vec<RegistryAuth>,
    pub(super) view: PlanView,
}

impl Prepared {
    pub(super) fn place(&self) -> &Place {
        &self.view.place
    }
}

/// One link for each host, however many of its stacks are worked on.
pub(super) struct Links {
    fleet: Arc<dyn Fleet>,
    links: HashMap<HostName, OnceCell<Result<Link, Fault>>>,
}

impl Links {
    pub(super) fn new<'a>(
        fleet: &Arc<dyn Fleet>,
        hosts: impl Iterator<Item = &'a HostName>,
    ) -> Arc<Self> {
        Arc::new(Self {
            fleet: Arc::clone(fleet),
            links: hosts.map(|host| (host.clone(), OnceCell::new())).collect(),
        })
    }

    pub(super) async fn get(&self, host: &HostName) -> Result<Link, Fault> {
        let unknown = || Fault::new(FaultKind::Internal, "a host that was not asked for");
        let cell = self.links.get(host).ok_or_else(unknown)?;
        let connect = || async { Link::connect(host.clone(), self.fleet.dial(host)?).await };
        cell.get_or_init(connect).await.clone()
    }
}

/// Credentials, asked for once for each set of registries: a helper may ask a person.
#[derive(Default)]
pub(super) struct Auths(Mutex<HashMap<Vec<String>, Logins>>);

impl Auths {
    pub(super) async fn get(
        &self,
        fleet: &Arc<dyn Fleet>,
        registries: Vec<String>,
    ) -> Result<Logins, Fault> {
        if registries.is_empty() {
            return Ok(Logins::default());
        }
        let mut known = self.0.lock().await;
        if let Some(auths) = known.get(&registries) {
            return Ok(auths.clone());
        }
        let auths = fleet.auths(&registries).await?;
        known.insert(registries, auths.clone());
        Ok(auths)
    }
}

/// Which places a plan is for. None is an error: nobody means it.
pub(super) async fn targets(source: &SourceArgs, context: &Context) -> Result<Vec<Target>, Ended> {
    let targets = context.targets(&source.targets).await?;
    scope::check(&targets, source)?;
    some_place(&targets, &source.targets)?;
    Ok(targets)
}

/// Gathers first, one after the other and before any host is asked: a value's command may ask a person, and
/// what is wrong with a stack here is wrong for all hosts.
pub(super) async fn gather(
    targets: &[Target],
    source: &SourceArgs,
    adopt: bool,
    context: &Context,
) -> Result<Vec<(Place, Source)>, Ended> {
    let fleet = &context.fleet;
    fleet.run_commands(targets, source, &context.leave).await?;
    let mut sources = Vec::new();
    for target in targets {
        let (target, env) = (target.clone(), source.env.clone());
        let (place, scope) = (target.place.clone(), scope::of(&target, source.no_deps));
        let supply = context
            .blocking(move |context| context.fleet.gather(&target, &env))
            .await?;
        let source = Source::Stack {
            supply,
            scope,
            adopt,
        };
        sources.push((place, source));
    }
    Ok(sources)
}

/// The plans of all places that gave one; the others have told why on the screen.
pub(super) async fn plans(
    sources: Vec<(Place, Source)>,
    remove_orphans: bool,
    width: u16,
    lock: Lock,
    context: &Context,
    screen: &mut Screen,
) -> Result<Vec<Prepared>, Ended> {
    let links = Links::new(&context.fleet, sources.iter().map(|(place, _)| &place.host));
    let auths = Arc::new(Auths::default());
    let work = |source: Source, reporter: Reporter| {
        let (links, auths, fleet) = (
            Arc::clone(&links),
            Arc::clone(&auths),
            Arc::clone(&context.fleet),
        );
        async move {
            let link = links.get(&reporter.place().host);
            let done = async {
                let link = link.await?;
                let agent = link.facts().agent_version.clone();
                reporter.own(Own::Connected { agent }).await;
                lock.free(&link, &reporter).await?;
                let planned = plan(&link, source, &reporter, &auths, &fleet).await?;
                Ok((link, planned))
            };
            match done.await {
                Ok((link, planned)) => {
                    let Planned {
                        scope,
                        staged,
                        auths,
                        plan,
                    } = planned;
                    let changes = changes(&plan, remove_orphans);
                    reporter
                        .own(Own::Planned {
                            changes,
                            plan: Box::new(plan.clone()),
                        })
                        .await;
                    let view = PlanView {
                        place: reporter.place().clone(),
                        changes,
                        remove_orphans,
                        plan,
                    };
                    Some(Prepared {
                        link,
                        staged,
                        scope,
                        auths,
                        view,
                    })
                }
                Err(fault) => {
                    reporter.own(Own::Broke { fault }).await;
                    None
                }
            }
        }
    };
    let leave = context.leave.clone();
    let abort = async move { leave.first().await };
    let prepared = fleet_run::run(sources, width.into(), screen, abort, work).await;
    if context.leave.is_pressed() {
        return Err(Ended::Left);
    }
    Ok(prepared.into_iter().flatten().flatten().collect())
}

async fn plan(
    link: &Link,
    source: Source,
    reporter: &Reporter,
    auths: &Auths,
    fleet: &Arc<dyn Fleet>,
) -> Result<Planned, Fault> {
    let (supply, scope, adopt) = match source {
        Source::Stack {
            supply,
            scope,
            adopt,
        } => (supply, scope, adopt),
        Source::Saved(saved) => return again(link, *saved, auths, fleet).await,
    };
    let progress = |sent, total| reporter.progress(Own::Uploading { sent, total });
    let mut warnings = supply.warnings();
    let set = supply.set_in_shell();
    let staged = link.stage(supply, &progress).await;
    let staged = staged.map_err(|fault| shell::explain(fault, &set))?;
    let logins = auths.get(fleet, staged.registries.clone()).await?;
    let auths = logins.found;
    let planned = link.plan(staged.stage, scope.clone(), auths.clone(), adopt);
    // What is missing may be why a registry gives nothing.
    let without = |fault: Fault| logins.failed.iter().fold(fault, Fault::cause);
    let mut plan = planned.await.map_err(without)?;
    warnings.extend(logins.failed);
    fleet.check_hooks(reporter.place(), &plan)?;
    // What was noticed here comes first: it is where the operator can do something about it.
    warnings.append(&mut plan.warnings);
    plan.warnings = warnings;
    Ok(Planned {
        scope,
        staged,
        auths,
        plan,
    })
}

/// The same plan once more, or a refusal.
async fn again(
    link: &Link,
    saved: SavedPlace,
    auths: &Auths,
    fleet: &Arc<dyn Fleet>,
) -> Result<Planned, Fault> {
    let scope = saved.scope();
    let logins = auths.get(fleet, saved.registries.clone()).await?;
    let auths = logins.found;
    let adopt = saved.plan.adoption.is_some();
    let planned = link.plan(saved.stage, scope.clone(), auths.clone(), adopt);
    let plan = planned.await;
    let plan = plan.map_err(|fault| match fault.kind {
        FaultKind::Stale => fault.hint("what a plan was made of is kept on the host for a day"),
        _ => logins.failed.iter().fold(fault, Fault::cause),
    })?;
    check_same(&plan, &saved.plan)?;
    let staged = Staged {
        stage: saved.stage,
        registries: saved.registries,
        images: Vec::new(),
    };
    Ok(Planned {
        scope,
        staged,
        auths,
        plan,
    })
}

fn check_same(now: &Plan, saved: &Plan) -> Result<(), Fault> {
    let mut causes = now.differs_from(saved);
    if now.base != saved.base {
        let name = |base: Option<RevisionId>| base.map_or("none".to_owned(), |base| base.short());
        let (now, then) = (name(now.base), name(saved.base));
        causes.insert(
            0,
            format!("the host is at revision {now}, and was at {then}"),
        );
    }
    if causes.is_empty() {
        return Ok(());
    }
    let what = "the host has moved on since this plan was saved";
    let mut fault = Fault::new(FaultKind::Stale, what).hint("plan anew, and look at what changed");
    fault.causes = causes;
    Err(fault)
}
