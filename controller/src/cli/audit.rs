//! The arguments of `audit`.

use clap::Args;

use super::{OutputArgs, Tail, WidthArgs, when};

/// Arguments of `audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "The whole record of each host is read and checked here, whatever is shown of it: each entry holds the \
    hash of the one before.\nThis workstation remembers the newest entry that a host has told it of. Ends with 1 when \
    a record was edited, cut or restored."
)]
pub struct AuditArgs {
    /// Where: hosts, or stacks to show nothing else
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// The newest so many entries of each host, or all
    #[arg(short, long, value_name = "N", default_value = "20", value_parser = when::tail)]
    pub number: Tail,

    /// Take the record as it is now, and compare with it from here on
    #[arg(long)]
    pub accept: bool,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}
