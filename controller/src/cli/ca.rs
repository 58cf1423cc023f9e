//! The verbs about the fleet's authorities: `ca`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::WidthArgs;

/// What can be done about the fleet's authorities.
#[derive(Debug, Subcommand)]
pub enum CaVerb {
    /// Replace the fleet's authorities in three steps, while everything runs
    Rotate(CaRotateArgs),
}

/// Arguments of `ca rotate`.
#[derive(Debug, Args)]
#[command(
    after_help = "1. controller ca rotate           makes new authorities and has every host believe them beside the old\n   \
    commit ca.pem and revoked.crl, and have everybody pull them\n\
    2. controller ca rotate --switch  gives every host, and every operator approved here, a certificate of the new\n   \
    commit ca.pem, revoked.crl and operators/, and have everybody pull them\n\
    3. controller ca rotate --finish  has every host forget the old ones\n   \
    commit ca.pem and revoked.crl\n\n\
    No call fails meanwhile and no stream is dropped until the last step, which ends those of operators who still\n\
    use an old certificate. Each step can be interrupted: run again, it is completed. Each wants every host; one\n\
    that is gone for long is left behind by --without, and comes back by `controller host add`."
)]
pub struct CaRotateArgs {
    /// Have the new authorities sign: step 2
    #[arg(long, group = "step")]
    pub switch: bool,

    /// Believe the old authorities no more: step 3
    #[arg(long, group = "step")]
    pub finish: bool,

    /// Give the new authorities up again; possible before step 2
    #[arg(long, group = "step")]
    pub abort: bool,

    /// Show how far it has come, on every host
    #[arg(long, group = "step")]
    pub status: bool,

    /// Go on without this host; may be repeated
    #[arg(long, value_name = "HOST")]
    pub without: Vec<String>,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
}
