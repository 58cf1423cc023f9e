//! The arguments of `plan` and `deploy`, and of what follows, stops or keeps a deploy.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{LockArgs, OutputArgs, WidthArgs, when};

/// What a plan is made from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Where: hosts, stacks or services
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// Set an interpolation value, or take KEY from this shell; wins over fleet.toml and .env
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub env: Vec<String>,

    /// Run the programs that fleet.toml takes values from without asking, now and later
    #[arg(long)]
    pub allow_commands: bool,

    /// Leave alone what the named services depend on
    #[arg(long)]
    pub no_deps: bool,

    /// Also remove containers whose service is no longer in the stack
    #[arg(long)]
    pub remove_orphans: bool,

    /// Take over a project that was started there by hand; what is unchanged keeps running
    #[arg(long)]
    pub adopt: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 2 when a deploy would change something, with 0 when nothing would change.\n\
    A saved plan is good for a day: `deploy --plan FILE` does exactly that, or nothing."
)]
pub struct PlanArgs {
    /// What from
    #[command(flatten)]
    pub source: SourceArgs,

    /// Also save the plan, to be deployed later with `deploy --plan FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `deploy`.
#[derive(Debug, Args)]
#[command(
    after_help = "A version that does not become healthy ends with 3: the stack is back at its last good revision.\n\
    Ctrl-C leaves the deploy running and says how to follow or cancel it.",
    mut_arg("targets", |targets| targets.required(false).required_unless_present("plan"))
)]
pub struct DeployArgs {
    /// What from
    #[command(flatten)]
    pub source: SourceArgs,

    /// Deploy what `plan --out FILE` saved, unless it would not be the same any more
    #[arg(long, value_name = "FILE", conflicts_with_all = ["targets", "env", "allow_commands", "no_deps", "remove_orphans", "adopt"])]
    pub plan: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Replace a file that was changed on the host as well, and keep a copy there; `all` is all of them
    #[arg(long, value_name = "PATH|all")]
    pub overwrite: Vec<String>,

    /// Deploy even when a gate refuses; a backup that fails still stops it
    #[arg(long)]
    pub force: bool,

    /// Leave once the hosts have taken the deploy over
    #[arg(short, long)]
    pub detach: bool,

    /// Go back by itself unless somebody runs `controller confirm` this soon after it is judged good (90s, 10m)
    #[arg(long, value_name = "DURATION", value_parser = when::confirm_within)]
    pub confirm_within: Option<Duration>,

    /// How long for the stack
    #[command(flatten)]
    pub lock: LockArgs,

    /// Stop following after this long (90s, 10m, 2h); the deploy itself goes on
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub timeout: Option<Duration>,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// A certain deploy instead of the newest
    #[arg(long, value_name = "ID")]
    pub deploy: Option<String>,

    /// Stop following after this long (90s, 10m, 2h)
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub timeout: Option<Duration>,

    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
#[command(
    after_help = "A deploy that has changed something already takes the stack back to its last good revision."
)]
pub struct CancelArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// A certain deploy instead of the one that runs
    #[arg(long, value_name = "ID")]
    pub deploy: Option<String>,
}

/// Arguments of `confirm`.
#[derive(Debug, Args)]
#[command(
    after_help = "A deploy with --confirm-within goes back by itself when nobody confirms it in time."
)]
pub struct ConfirmArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// A certain deploy instead of the one that waits
    #[arg(long, value_name = "ID")]
    pub deploy: Option<String>,
}
