//! `confirm`: keeps what deploys with --confirm-within have brought.

use std::sync::Arc;

use super::attach::subjects;
use super::prepare::Links;
use super::{Context, Ended, some_place, tell, whole_stacks};
use crate::cli::ConfirmArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet_run;
use crate::terminal::{Line, Tone};

const WIDTH: usize = 64;

pub(super) async fn run(args: ConfirmArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "confirm")?;
    some_place(&targets, &args.targets)?;
    let subjects = subjects(&targets, args.deploy.as_deref())?;
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let places: Vec<_> = targets.into_iter().map(|target| target.place).collect();
    let jobs = places.iter().cloned().zip(subjects).collect();
    let answers = fleet_run::each(jobs, WIDTH, |(place, subject)| {
        let links = Arc::clone(&links);
        async move { links.get(&place.host).await?.confirm(&subject).await }
    });
    let answers = tokio::select! {
        answers = answers => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let mut codes = Vec::new();
    for (place, answer) in places.iter().zip(answers) {
        match answer {
            Ok(deploy) => {
                let line = Line::new().toned(Tone::Strong, place.to_string());
                let kept = format!("  deploy {} is kept", deploy.short());
                context.terminal.say(line.text(kept));
                codes.push(Exit::Done);
            }
            Err(fault) => {
                let failure = Failure::on(&place.host, fault);
                tell(&context.terminal, &failure);
                codes.push(failure.exit());
            }
        }
    }
    Ok(Exit::overall(codes))
}
