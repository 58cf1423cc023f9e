//! `confirm`: keeps what deploys with --confirm-within have brought.

use proto::id::DeployId;

use super::{Context, Ended, ask, some_place, whole_stacks};
use crate::cli::ConfirmArgs;
use crate::event::Place;
use crate::exit::Exit;
use crate::link::{Link, Subject};

pub(super) async fn run(args: ConfirmArgs, context: &Context) -> Result<Exit, Ended> {
    let targets = context.targets(&args.targets).await?;
    whole_stacks(&targets, "confirm")?;
    some_place(&targets, &args.targets)?;
    let ask = |link: Link, subject: Subject| async move { link.confirm(&subject).await };
    let words = |_: &Place, deploy: DeployId| format!("deploy {} is kept", deploy.short());
    ask::each(targets, args.deploy.as_deref(), context, ask, words).await
}
