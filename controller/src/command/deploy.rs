//! `deploy`: plan everywhere, show, ask, run, and follow until every place is judged.

use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use proto::plan::{Part, Plan};

use super::follow::{self, Follow, Turn};
use super::lock::{self, Lock};
use super::prepare::{self, Prepared};
use super::{Context, Ended, kind};
use crate::cli::{DeployArgs, Output};
use crate::event::{FleetEvent, Own, Place};
use crate::exit::Exit;
use crate::fleet_run::Reporter;
use crate::link::Order;
use crate::render::plan::PlanView;
use crate::render::{Screen, plan as render_plan};

pub(super) async fn run(args: DeployArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = prepare::targets(&args.source, context).await?;
    let sources = prepare::gather(&targets, &args.source, context).await?;
    let places = targets.into_iter().map(|target| target.place);
    let lock = Lock::new(args.lock.lock_wait, context.patience);
    let mut screen = Screen::new(&context.terminal, kind(args.output.output), places);
    let prepared = prepare::plans(
        sources,
        &args.source,
        args.width.parallel,
        lock,
        context,
        &mut screen,
    )
    .await?;
    screen.pause();
    show_plans(&prepared, args.output.output, context);
    let (changing, same): (Vec<_>, Vec<_>) = prepared.into_iter().partition(|one| one.view.changes);
    for one in same {
        screen.show(&FleetEvent::own(one.place(), Own::Unchanged));
    }
    if changing.is_empty() {
        return Ok(screen.finish().exit());
    }
    screen.pause();
    if !args.yes {
        screen.tell_failures();
        if !context.confirm(question(&changing)).await? {
            context.terminal.note("nothing was changed");
            return Ok(Exit::Failed);
        }
    }
    let follow = Follow::new(context, args.timeout, args.detach, lock);
    let jobs = jobs(changing)?;
    let agreed = Agreed {
        remove_orphans: args.source.remove_orphans,
        confirm_within: args.confirm_within,
        whatever: args.yes,
    };
    let work = |(deploy, one): Job, reporter: Reporter| {
        let follow = follow.clone();
        async move {
            let submit = |turn| submit(deploy, &one, agreed, turn);
            follow.submit(&one.link, deploy, &reporter, submit).await;
        }
    };
    Ok(follow::all(jobs, args.width.parallel, context, screen, work).await)
}

/// What the operator has asked for besides the plan.
#[derive(Clone, Copy)]
struct Agreed {
    remove_orphans: bool,
    confirm_within: Option<Duration>,
    /// Nobody was asked, so no certain plan was agreed to.
    whatever: bool,
}

async fn submit(deploy: DeployId, one: &Prepared, agreed: Agreed, turn: Turn) -> Result<(), Fault> {
    let Prepared { link, auths, .. } = one;
    let mut plan = one.view.plan.id;
    if turn == Turn::AfterAnother {
        let fresh = link
            .plan(one.stage, one.scope.clone(), auths.clone())
            .await?;
        if !agreed.whatever && !same(&fresh, &one.view.plan) {
            return Err(lock::moved_on(one.place()));
        }
        plan = fresh.id;
    }
    link.deploy(Order {
        deploy,
        plan,
        auths: auths.clone(),
        remove_orphans: agreed.remove_orphans,
        confirm_within: agreed.confirm_within,
    })
    .await
}

/// Whether both would do the same, each from where it starts.
fn same(fresh: &Plan, agreed: &Plan) -> bool {
    let Plan {
        services,
        images,
        files,
        orphans,
        ..
    } = fresh;
    *services == agreed.services
        && *images == agreed.images
        && *files == agreed.files
        && *orphans == agreed.orphans
}

fn show_plans(prepared: &[Prepared], output: Output, context: &Context) {
    if output != Output::Table {
        return;
    }
    let views: Vec<PlanView> = prepared.iter().map(|one| one.view.clone()).collect();
    for line in render_plan::lines(&views) {
        context.terminal.say(line);
    }
}

fn question(changing: &[Prepared]) -> String {
    match changing {
        [one] => format!("Deploy to {}?", whither(one)),
        several => {
            let names: Vec<String> = several.iter().map(whither).collect();
            format!("Deploy to these {}: {}?", several.len(), names.join(", "))
        }
    }
}

fn whither(one: &Prepared) -> String {
    let names = |part: &Part| {
        let services: Vec<&str> = part.services().iter().map(|name| name.as_str()).collect();
        format!("{} (only {})", one.place(), services.join(", "))
    };
    let part = one.view.plan.part.as_ref();
    part.map_or_else(|| one.place().to_string(), names)
}

/// A deploy that has its id, and what it is a deploy of.
type Job = (DeployId, Prepared);

fn jobs(changing: Vec<Prepared>) -> Result<Vec<(Place, Job)>, Fault> {
    let job = |one: Prepared| Ok((one.place().clone(), (new_deploy()?, one)));
    changing.into_iter().map(job).collect()
}

/// An id that nobody else has.
pub(super) fn new_deploy() -> Result<DeployId, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Fault::new(FaultKind::Failed, "this system gives no random numbers").because(&error)
    })?;
    Ok(DeployId::from_bytes(bytes))
}
