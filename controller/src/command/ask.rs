//! Asks the same of one deploy in every place, and shows each answer in a line.

use std::future::Future;
use std::sync::Arc;

use proto::fault::Fault;

use super::attach::subjects;
use super::prepare::Links;
use super::{Context, Ended, Target, tell};
use crate::error::Failure;
use crate::event::Place;
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::{Link, Subject};
use crate::terminal::{Line, Tone};

const WIDTH: usize = 64;

/// `deploy` is a certain one, of the only place; without it each place's newest is meant.
pub(super) async fn each<T, F>(
    targets: Vec<Target>,
    deploy: Option<&str>,
    context: &Context,
    ask: fn(Link, Subject) -> F,
    words: impl Fn(&Place, T) -> String,
) -> Result<Exit, Ended>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Fault>> + Send + 'static,
{
    let subjects = subjects(&targets, deploy)?;
    let links = Links::new(
        &context.fleet,
        targets.iter().map(|target| &target.place.host),
    );
    let places: Vec<_> = targets.into_iter().map(|target| target.place).collect();
    let jobs = places.iter().cloned().zip(subjects).collect();
    let answers = fleet_run::each(jobs, WIDTH, |(place, subject): (Place, Subject)| {
        let links = Arc::clone(&links);
        async move { ask(links.get(&place.host).await?, subject).await }
    });
    let answers = tokio::select! {
        answers = answers => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let show = |(place, answer): (&Place, Result<T, Fault>)| match answer {
        Ok(answer) => {
            let line = Line::new().toned(Tone::Strong, place.to_string());
            context
                .terminal
                .say(line.text("  ").text(words(place, answer)));
            Exit::Done
        }
        Err(fault) => {
            let failure = Failure::on(&place.host, fault);
            tell(&context.terminal, &failure);
            failure.exit()
        }
    };
    Ok(Exit::overall(places.iter().zip(answers).map(show)))
}
