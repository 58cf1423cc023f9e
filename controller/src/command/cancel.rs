//! `cancel`: asks running deploys to stop.

use super::{Context, Ended, ask, whole_stacks};
use crate::cli::CancelArgs;
use crate::event::Place;
use crate::exit::Exit;
use crate::link::{Link, Subject};

pub(super) async fn run(args: CancelArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "cancel")?;
    let ask = |link: Link, subject: Subject| async move { link.cancel(&subject).await };
    let words = |place: &Place, running: bool| match running {
        true => format!("stopping; controller attach {place} follows it"),
        false => "no deploy is running".to_owned(),
    };
    ask::each(targets, args.deploy.as_deref(), context, ask, words).await
}
