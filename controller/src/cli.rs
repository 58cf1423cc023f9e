//! The command line: what may be typed, and its help. Types only; nothing is done here.

mod admin;
mod audit;
mod back;
mod ca;
mod deploy;
mod when;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use admin::{
    HostAddArgs, HostApproveArgs, HostRenewArgs, HostUpgradeArgs, HostVerb, InitArgs,
    OperatorAcceptArgs, OperatorApproveArgs, OperatorRenewArgs, OperatorRequestArgs,
    OperatorRevokeArgs, OperatorVerb, RoleArg,
};
pub use audit::AuditArgs;
pub use back::{HistoryArgs, RollbackArgs};
pub use ca::{CaRotateArgs, CaVerb};
pub use deploy::{AttachArgs, CancelArgs, ConfirmArgs, DeployArgs, PlanArgs, SourceArgs};
pub use when::When;
pub(crate) use when::duration;

use crate::exit::Exit;

/// Put Docker Compose projects onto servers and keep them right
#[derive(Debug, Parser)]
#[command(name = "controller", disable_version_flag = true, max_term_width = 100)]
#[command(
    after_help = "A TARGET is a host (emilia), a stack on a host (emilia/opq), a service (emilia/opq/view),\n\
    stack:opq, label:cloud or all; !TARGET excludes."
)]
pub struct Cli {
    /// Fleet file to use instead of the fleet.toml found from here upwards
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub fleet: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// Everything that the command can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a fleet: its two authorities and the first operator
    Init(InitArgs),
    /// Servers of the fleet
    #[command(subcommand)]
    Host(HostVerb),
    /// People and CI jobs that may use the fleet
    #[command(subcommand)]
    Operator(OperatorVerb),
    /// The authorities that sign hosts and operators
    #[command(subcommand)]
    Ca(CaVerb),
    /// Show what a deploy would change, and change nothing
    Plan(PlanArgs),
    /// Plan, show, confirm, run, and follow until it is judged
    Deploy(DeployArgs),
    /// Follow a deploy that runs, or see how the newest one went
    Attach(AttachArgs),
    /// Ask a running deploy to stop
    Cancel(CancelArgs),
    /// Keep what a deploy with --confirm-within has brought
    Confirm(ConfirmArgs),
    /// Go back to an earlier revision, with what is on the hosts
    Rollback(RollbackArgs),
    /// Show what has been done to a stack, and what it can go back to
    History(HistoryArgs),
    /// Show who changed what on hosts, and check that record
    Audit(AuditArgs),
    /// Show what runs
    #[command(visible_alias = "ps")]
    Status(StatusArgs),
    /// Say what is wrong, why, and what mends it
    Doctor(DoctorArgs),
    /// Show what containers print
    Logs(LogsArgs),
    /// Remove a stack's containers and networks
    Down(DownArgs),
    /// Show the version of this command
    Version(VersionArgs),
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line, as things happen
    Jsonl,
}

/// The choice of [`Output`].
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArgs {
    /// How to write results: table, json or jsonl
    #[arg(
        short,
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub output: Output,
}

/// How many hosts are worked on at once, and for how long.
#[derive(Debug, Clone, Copy, Args)]
pub struct WidthArgs {
    /// Hosts to work on at the same time
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub parallel: u16,
}

/// How long to wait for a stack that another deploy holds.
#[derive(Debug, Clone, Copy, Args)]
pub struct LockArgs {
    /// Wait this long for another deploy of the stack to end, instead of giving up (90s, 10m)
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub lock_wait: Option<Duration>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where: hosts, stacks or services; everything when not given
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when nothing is wrong, with 1 when something is. Changes nothing."
)]
pub struct DoctorArgs {
    /// Where: hosts or stacks; everything when not given
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Where: hosts, stacks or services
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// Keep going as lines are printed
    #[arg(short, long)]
    pub follow: bool,

    /// Lines per container from the end, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", value_parser = when::tail)]
    pub tail: Tail,

    /// Only lines since then (10m, 2h30m, 2026-03-01T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<When>,

    /// Only lines until then (10m, 2h30m, 2026-03-01T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub until: Option<When>,

    /// Show when each line was printed
    #[arg(short, long)]
    pub timestamps: bool,

    /// Show the containers' bytes as they are, control characters and colours too
    #[arg(long)]
    pub raw: bool,

    /// Show lines without saying where they come from
    #[arg(long, alias = "no-log-prefix")]
    pub no_prefix: bool,

    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How many lines from the end; `None` for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail(pub Option<u32>);

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Where: hosts or stacks
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// Also remove the stack's named volumes, and the data in them
    #[arg(long)]
    pub volumes: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Leave once the hosts have taken it over
    #[arg(short, long)]
    pub detach: bool,

    /// Stop following after this long (90s, 10m, 2h)
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

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Why there is nothing to run: text for the terminal and the code to end with.
#[derive(Debug)]
pub struct Stop {
    /// What to print.
    pub text: String,
    /// Asked for (`--help`), so it goes to standard output.
    pub asked: bool,
    /// How to end.
    pub exit: Exit,
}

impl Cli {
    /// Reads the arguments, the program's name first.
    ///
    /// # Errors
    /// With the help that was asked for, or with what is wrong.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        Self::try_parse_from(words).map_err(|error| {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            Stop {
                text: error.render().to_string(),
                asked,
                exit: if asked { Exit::Done } else { Exit::Usage },
            }
        })
    }
}

#[cfg(test)]
mod tests;
