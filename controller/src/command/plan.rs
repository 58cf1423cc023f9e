//! `plan`: what a deploy would change everywhere, and nothing else.

use super::lock::Lock;
use std::collections::BTreeSet;
use std::path::PathBuf;

use proto::plan::Scope;

use super::prepare::{self, Prepared};
use super::{Context, Ended};
use crate::board::{Board, End};
use crate::cli::{Output, PlanArgs};
use crate::exit::Exit;
use crate::plan_file::{PlanFile, SavedPlace};
use crate::render::plan::{FailedPlace, PlanDocument, PlanView};
use crate::render::{Kind, Screen, plan as render_plan, tell_failures};
use crate::terminal::{Line, Tone};

pub(super) async fn run(args: PlanArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = prepare::targets(&args.source, context).await?;
    let sources = prepare::gather(&targets, &args.source, args.source.adopt, context).await?;
    let places = targets.into_iter().map(|target| target.place);
    let kind = match args.output.output {
        Output::Table => Kind::Human,
        Output::Json => Kind::Quiet,
        Output::Jsonl => Kind::Json,
    };
    let mut screen = Screen::new(&context.terminal, kind, places);
    let prepared = prepare::plans(
        sources,
        args.source.remove_orphans,
        args.width.parallel,
        Lock::new(None, context.patience),
        context,
        &mut screen,
    )
    .await?;
    let board = screen.close();
    let saved: Vec<SavedPlace> = prepared.iter().map(saved).collect();
    let views: Vec<PlanView> = prepared
        .into_iter()
        .map(|Prepared { view, .. }| view)
        .collect();
    let codes = codes(&views, &board);
    match args.output.output {
        Output::Table => {
            for line in render_plan::lines(&views) {
                context.terminal.say(line);
            }
        }
        Output::Json => context.terminal.json(&document(views, &board))?,
        Output::Jsonl => {}
    }
    tell_failures(&context.terminal, &board);
    if let Some(path) = args.out {
        save(path, args.source.remove_orphans, saved, &board, context).await?;
    }
    Ok(Exit::overall(codes))
}

fn saved(one: &Prepared) -> SavedPlace {
    let (services, no_deps) = match &one.scope {
        Scope::Whole => (BTreeSet::new(), false),
        Scope::WithDependencies(services) => (services.clone(), false),
        Scope::Alone(services) => (services.clone(), true),
    };
    SavedPlace {
        place: one.place().clone(),
        stage: one.staged.stage,
        registries: one.staged.registries.clone(),
        services,
        no_deps,
        plan: one.view.plan.clone(),
    }
}

/// A plan that lacks a place that was asked for is not what anybody means.
async fn save(
    path: PathBuf,
    remove_orphans: bool,
    places: Vec<SavedPlace>,
    board: &Board,
    context: &Context,
) -> Result<(), Ended> {
    if places.len() < board.sites().len() {
        context
            .terminal
            .note("the plan was not saved: not every place has one");
        return Ok(());
    }
    let file = PlanFile::new(remove_orphans, places);
    let shown = path.display().to_string();
    context.blocking(move |_| file.write(&path)).await?;
    let how = Line::from("saved; deploy exactly this with: ")
        .toned(Tone::Strong, format!("controller deploy --plan {shown}"));
    context.terminal.note(how);
    Ok(())
}

fn codes(views: &[PlanView], board: &Board) -> Vec<Exit> {
    let pending = |view: &PlanView| {
        if view.changes {
            Exit::Pending
        } else {
            Exit::Done
        }
    };
    let failed = board.sites().iter().filter_map(crate::board::Site::exit);
    views.iter().map(pending).chain(failed).collect()
}

fn document(plans: Vec<PlanView>, board: &Board) -> PlanDocument {
    let failed = board.sites().iter().filter_map(|site| match &site.end {
        Some(End::Broke(fault)) => Some(FailedPlace {
            place: site.place.clone(),
            fault: fault.clone(),
        }),
        _ => None,
    });
    let failed = failed.collect();
    PlanDocument { plans, failed }
}
