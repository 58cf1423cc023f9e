//! The arguments of `rollback` and `history`.

use std::time::Duration;

use clap::Args;
use proto::limits::{HISTORY, HISTORY_MOST};

use super::{LockArgs, OutputArgs, WidthArgs, when};

/// Digits of the shortest prefix of a revision's id.
const SHORTEST: usize = 4;

/// Arguments of `rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "A whole stack goes back at once: containers, images, files and values. Volumes stay as they are.\n\
    Nothing is read from the stack's folder here and nothing is asked of a registry.\n\
    Ctrl-C leaves the rollback running and says how to follow or cancel it."
)]
pub struct RollbackArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// Revision to go back to, or the first digits of it; the last good one before when not given
    #[arg(long, value_name = "REV", value_parser = digits)]
    pub to: Option<String>,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Leave once the hosts have taken the rollback over
    #[arg(short, long)]
    pub detach: bool,

    /// Stop following after this long (90s, 10m, 2h); the rollback itself goes on
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub timeout: Option<Duration>,

    /// How long for the stack
    #[command(flatten)]
    pub lock: LockArgs,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(
    after_help = "A revision marked `current` is what the stack is now; `rollback --to` takes one marked `kept`."
)]
pub struct HistoryArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// The newest so many, 200 at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = HISTORY as u32, value_parser = clap::value_parser!(u32).range(1..=HISTORY_MOST as i64))]
    pub limit: u32,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The first digits of a revision's id.
fn digits(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err(format!(
            "a revision is named by {SHORTEST} or more of its first digits, as history shows them"
        ))
    }
}
