//! `plan`: what a deploy would change everywhere, and nothing else.

use super::lock::Lock;
use super::prepare::{self, Prepared};
use super::{Context, Ended};
use crate::board::{Board, End};
use crate::cli::{Output, PlanArgs};
use crate::exit::Exit;
use crate::render::plan::{FailedPlace, PlanDocument, PlanView};
use crate::render::{Kind, Screen, plan as render_plan, tell_failures};

pub(super) async fn run(args: PlanArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = prepare::targets(&args.source, context).await?;
    let sources = prepare::gather(&targets, &args.source, context).await?;
    let places = targets.into_iter().map(|target| target.place);
    let kind = match args.output.output {
        Output::Table => Kind::Human,
        Output::Json => Kind::Quiet,
        Output::Jsonl => Kind::Json,
    };
    let mut screen = Screen::new(&context.terminal, kind, places);
    let prepared = prepare::plans(
        sources,
        &args.source,
        args.width.parallel,
        Lock::new(None, context.patience),
        context,
        &mut screen,
    )
    .await?;
    let board = screen.close();
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
    Ok(Exit::overall(codes))
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
