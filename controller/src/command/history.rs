//! `history`: what has been done to every stack asked for.

use std::sync::Arc;

use super::prepare::Links;
use super::{Context, Ended, Target, now_millis, some_place, tell, whole_stacks};
use crate::cli::{HistoryArgs, Output};
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet_run;
use crate::render::history::{PlaceHistory, lines};

pub(super) async fn run(args: HistoryArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "history")?;
    some_place(&targets, &args.targets)?;
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let limit = args.limit;
    let asked = fleet_run::each(targets.clone(), args.width.parallel.into(), |target| {
        let links = Arc::clone(&links);
        async move {
            let link = links.get(&target.place.host).await?;
            link.history(&target.place.stack, limit).await
        }
    });
    let answers = tokio::select! {
        answers = asked => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let mut places = Vec::new();
    let mut failures = Vec::new();
    let mut codes = Vec::new();
    for (Target { place, .. }, answer) in targets.into_iter().zip(answers) {
        let failure = answer.as_ref().err();
        let failure = failure.map(|fault| Failure::on(&place.host, fault.clone()));
        codes.push(failure.as_ref().map_or(Exit::Done, Failure::exit));
        failures.extend(failure);
        places.push(PlaceHistory::new(place, answer));
    }
    show(&places, args.output.output, context)?;
    for failure in failures {
        tell(&context.terminal, &failure);
    }
    Ok(Exit::overall(codes))
}

fn show(places: &[PlaceHistory], output: Output, context: &Context) -> Result<(), Ended> {
    match output {
        Output::Table => {
            for line in lines(places, now_millis(context)) {
                context.terminal.say(line);
            }
        }
        Output::Json => context.terminal.json(&places)?,
        Output::Jsonl => {
            for line in places.iter().flat_map(PlaceHistory::rows) {
                context.terminal.json(&line)?;
            }
        }
    }
    Ok(())
}
