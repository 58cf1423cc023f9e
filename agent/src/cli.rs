//! The command line: what may be typed, and its help. Types only; nothing is done here.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use proto::id::HostName;

use crate::config::DEFAULT_FOLDER;

/// The longshore daemon of one server.
#[derive(Debug, Parser)]
#[command(name = "agent")]
pub struct Arguments {
    /// Where agent.toml and the identity are.
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    pub folder: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Everything that the daemon's command can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a key on this host and print the request for its certificate.
    Enroll {
        /// The host's name in fleet.toml.
        #[arg(long)]
        name: HostName,
    },
    /// Install the grant that answers the request.
    Accept {
        /// The grant; standard input when left out or `-`.
        file: Option<PathBuf>,
    },
    /// Print whom this host's certificate speaks for, and until when.
    Identity {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Serve operators until told to stop.
    Run,
    /// Print the version.
    Version,
}
