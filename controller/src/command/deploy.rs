//! `deploy`: plan everywhere, show, ask, run, and follow until every place is judged.

use std::path::PathBuf;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use proto::path::InvalidPath;
use proto::plan::{Overwrite, Part};

use super::follow::{self, Follow, Turn};
use super::lock::{self, Lock};
use super::prepare::{self, Prepared, Source};
use super::{Context, Ended, kind};
use crate::cli::{DeployArgs, Output};
use crate::event::{FleetEvent, Own, Place};
use crate::exit::Exit;
use crate::fleet_run::Reporter;
use crate::link::Order;
use crate::plan_file::PlanFile;
use crate::render::plan::PlanView;
use crate::render::{Screen, plan as render_plan};

pub(super) async fn run(args: DeployArgs, context: &Context) -> Result<Exit, Ended> {
    let (sources, remove_orphans) = match &args.plan {
        Some(path) => saved(path.clone(), context).await?,
        None => {
            let targets = prepare::targets(&args.source, context).await?;
            let adopt = args.source.adopt || context.terminal.is_attended();
            let sources = prepare::gather(&targets, &args.source, adopt, context).await?;
            (sources, args.source.remove_orphans)
        }
    };
    let places: Vec<Place> = sources.iter().map(|(place, _)| place.clone()).collect();
    let lock = Lock::new(args.lock.lock_wait, context.patience);
    let mut screen = Screen::new(&context.terminal, kind(args.output.output), places);
    let prepared = prepare::plans(
        sources,
        remove_orphans,
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
    let overwrite = overwrite(&args.overwrite)?;
    check_overwrite(&changing, &overwrite)?;
    if !is_agreed(&args, &changing, &mut screen, context).await? {
        context.terminal.note("nothing was changed");
        return Ok(Exit::Failed);
    }
    let follow = Follow::new(context, args.timeout, args.detach, lock);
    let jobs = jobs(changing)?;
    let agreed = Agreed {
        remove_orphans,
        confirm_within: args.confirm_within,
        overwrite,
        force: args.force,
        whatever: args.yes && args.plan.is_none(),
    };
    let work = |(deploy, one): Job, reporter: Reporter| {
        let (follow, agreed) = (follow.clone(), agreed.clone());
        async move {
            let submit = |turn| submit(deploy, &one, agreed.clone(), turn);
            follow.submit(&one.link, deploy, &reporter, submit).await;
        }
    };
    Ok(follow::all(jobs, args.width.parallel, context, screen, work).await)
}

/// The places of a saved plan, all of which must be in this fleet.
async fn saved(path: PathBuf, context: &Context) -> Result<(Vec<(Place, Source)>, bool), Ended> {
    let file = context.blocking(move |_| PlanFile::read(&path)).await?;
    let words: Vec<String> = file
        .places
        .iter()
        .map(|one| one.place.to_string())
        .collect();
    context.targets(&words).await?;
    let places = file.places.into_iter();
    let sources = places.map(|one| (one.place.clone(), Source::Saved(Box::new(one))));
    Ok((sources.collect(), file.remove_orphans))
}

/// Asks what the flags have not answered.
async fn is_agreed(
    args: &DeployArgs,
    changing: &[Prepared],
    screen: &mut Screen,
    context: &Context,
) -> Result<bool, Ended> {
    // A saved plan that takes something over was made with the flag.
    let settled = args.source.adopt || args.plan.is_some();
    let takeover = takeover(changing).filter(|_| !settled);
    if takeover.is_some() || !args.yes {
        screen.tell_failures();
    }
    if let Some(question) = takeover
        && !context.confirm(question, "--adopt").await?
    {
        return Ok(false);
    }
    Ok(args.yes || context.confirm(question(changing), "--yes").await?)
}

/// What was started by hand is somebody's.
fn takeover(changing: &[Prepared]) -> Option<String> {
    let told = |one: &Prepared| {
        let plan = &one.view.plan;
        let from = &plan.adoption.as_ref()?.directory;
        let (project, host) = (&plan.project, &one.place().host);
        Some(format!(
            "project {project} already runs on {host}, started from {from}"
        ))
    };
    let told: Vec<String> = changing.iter().filter_map(told).collect();
    let them = if told.len() == 1 { "it" } else { "them" };
    (!told.is_empty()).then(|| format!("{}; take {them} over?", told.join("; ")))
}

/// What the operator has asked for besides the plan.
#[derive(Clone)]
struct Agreed {
    remove_orphans: bool,
    confirm_within: Option<Duration>,
    overwrite: Overwrite,
    force: bool,
    /// Nobody was asked, so no certain plan was agreed to.
    whatever: bool,
}

async fn submit(deploy: DeployId, one: &Prepared, agreed: Agreed, turn: Turn) -> Result<(), Fault> {
    let Prepared { link, auths, .. } = one;
    let mut plan = one.view.plan.id;
    if turn == Turn::AfterAnother {
        let adopt = one.view.plan.adoption.is_some();
        let fresh = link
            .plan(one.staged.stage, one.scope.clone(), auths.clone(), adopt)
            .await?;
        if !agreed.whatever && !fresh.differs_from(&one.view.plan).is_empty() {
            return Err(lock::moved_on(one.place()));
        }
        plan = fresh.id;
    }
    link.deploy(Order {
        deploy,
        plan,
        auths: auths.clone(),
        remove_orphans: agreed.remove_orphans,
        overwrite: agreed.overwrite,
        force: agreed.force,
        confirm_within: agreed.confirm_within,
    })
    .await
}

/// `--overwrite PATH`, as often as there are paths, or `--overwrite all`.
fn overwrite(words: &[String]) -> Result<Overwrite, Fault> {
    if words.iter().any(|word| word == "all") {
        return Ok(Overwrite::All);
    }
    let path = |word: &String| {
        word.parse().map_err(|error: InvalidPath| {
            Fault::new(FaultKind::InvalidRequest, format!("--overwrite: {error}"))
        })
    };
    let paths = words.iter().map(path).collect::<Result<_, _>>()?;
    Ok(Overwrite::Paths(paths))
}

/// The agents would refuse it, after everybody has agreed.
fn check_overwrite(changing: &[Prepared], overwrite: &Overwrite) -> Result<(), Fault> {
    for one in changing {
        let checked = overwrite.check(&one.view.plan.files);
        checked.map_err(|fault| Fault {
            what: format!("{}: {}", one.place(), fault.what),
            ..fault
        })?;
    }
    Ok(())
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
