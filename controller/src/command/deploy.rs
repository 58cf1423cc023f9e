//! `deploy`: plan everywhere, show, ask, run, and follow until every place is judged.

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use proto::plan::Part;

use super::follow::{self, Follow};
use super::prepare::{self, Prepared};
use super::{Context, Ended, kind};
use crate::cli::{DeployArgs, Output};
use crate::event::{FleetEvent, Own, Place};
use crate::exit::Exit;
use crate::fleet_run::Reporter;
use crate::render::plan::PlanView;
use crate::render::{Screen, plan as render_plan};

pub(super) async fn run(args: DeployArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = prepare::targets(&args.source, context).await?;
    let sources = prepare::gather(&targets, &args.source, context).await?;
    let places = targets.into_iter().map(|target| target.place);
    let mut screen = Screen::new(&context.terminal, kind(args.output.output), places);
    let prepared = prepare::plans(
        sources,
        &args.source,
        args.width.parallel,
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
    let follow = Follow::new(context, args.timeout, args.detach);
    let jobs = jobs(changing)?;
    let remove_orphans = args.source.remove_orphans;
    let work = |(deploy, one): Job, reporter: Reporter| {
        let follow = follow.clone();
        async move {
            let Prepared { link, auths, view } = one;
            let submit = link.deploy(deploy, view.plan.id, auths, remove_orphans);
            follow.submit(&link, deploy, &reporter, submit).await;
        }
    };
    Ok(follow::all(jobs, args.width.parallel, context, screen, work).await)
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
