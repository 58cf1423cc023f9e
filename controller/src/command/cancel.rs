//! `cancel`: asks running deploys to stop.

use std::sync::Arc;

use super::attach::subjects;
use super::prepare::Links;
use super::{Context, Ended, tell, whole_stacks};
use crate::cli::CancelArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet_run;
use crate::terminal::{Line, Tone};

const WIDTH: usize = 64;

pub(super) async fn run(args: CancelArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "cancel")?;
    let subjects = subjects(&targets, args.deploy.as_deref())?;
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let places: Vec<_> = targets.into_iter().map(|target| target.place).collect();
    let jobs = places.iter().cloned().zip(subjects).collect();
    let answers = fleet_run::each(jobs, WIDTH, |(place, subject)| {
        let links = Arc::clone(&links);
        async move { links.get(&place.host).await?.cancel(&subject).await }
    });
    let answers = tokio::select! {
        answers = answers => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let mut codes = Vec::new();
    for (place, answer) in places.iter().zip(answers) {
        let line = Line::new().toned(Tone::Strong, place.to_string());
        match answer {
            Ok(true) => context
                .terminal
                .say(line.text(format!("  stopping; controller attach {place} follows it"))),
            Ok(false) => context.terminal.say(line.text("  no deploy is running")),
            Err(fault) => {
                let failure = Failure::on(&place.host, fault);
                tell(&context.terminal, &failure);
                codes.push(failure.exit());
                continue;
            }
        }
        codes.push(Exit::Done);
    }
    Ok(Exit::overall(codes))
}
