//! The verbs about identities: `init`, `host` and `operator`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{OutputArgs, WidthArgs};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The fleet's name
    #[arg(long, value_name = "FLEET")]
    pub name: String,

    /// The first operator's name; their role is admin
    #[arg(long, value_name = "NAME")]
    pub operator: String,

    /// File with the passphrase that encrypts the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// What can be done about hosts.
#[derive(Debug, Subcommand)]
pub enum HostVerb {
    /// Make a server a host of the fleet, through SSH
    Add(HostAddArgs),
    /// Sign a host's request and write the host into fleet.toml
    Approve(HostApproveArgs),
    /// Show the hosts of the fleet
    #[command(visible_alias = "ls")]
    List(OutputArgs),
    /// Give hosts new keys and certificates while they run
    Renew(HostRenewArgs),
    /// Bring a new agent onto hosts: on one first, then on the others
    #[command(
        after_help = "A new agent that cannot be worked with goes back by itself, and no other host is begun.\n\
        What starts the agent, systemd's unit and the launcher, stays as it is: where it is of another version, \
        doctor says so, and host add brings this one's.\n\
        Ends with 3 when the only host went back, with 5 when a deploy holds a stack there."
    )]
    Upgrade(HostUpgradeArgs),
}

/// Arguments of `host renew`.
#[derive(Debug, Args)]
#[command(
    after_help = "An admin's commands do this by themselves for each host past two thirds of its certificate's life\n\
    when the passphrase is in LONGSHORE_CA_PASSPHRASE or LONGSHORE_CA_PASSPHRASE_FILE. Nothing is\n\
    restarted and no stream is dropped; interrupted, it is completed by the next run."
)]
pub struct HostRenewArgs {
    /// Which hosts
    #[arg(value_name = "TARGET", required_unless_present = "all")]
    pub targets: Vec<String>,

    /// Every host of the fleet
    #[arg(long, conflicts_with = "targets")]
    pub all: bool,

    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,
}

/// Arguments of `host upgrade`.
#[derive(Debug, Args)]
pub struct HostUpgradeArgs {
    /// Where: hosts, or what runs on them; everywhere when not given
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,

    /// To which version, instead of this controller's own
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,

    /// How wide
    #[command(flatten)]
    pub width: WidthArgs,

    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `host add`.
#[derive(Debug, Args)]
#[command(
    after_help = "Finds out what the server is, sends the agent for it, has the host make its key there, signs the \
    request, starts the agent and proves the link. Run again, it goes on where it was interrupted, and changes \
    nothing on a host that is ready. For a host that is in fleet.toml already, NAME is enough: this is also how one \
    whose certificate has ended is brought back."
)]
pub struct HostAddArgs {
    /// The host's name in the fleet
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Where the server is reached through SSH; ~/.ssh/config applies
    #[arg(long, value_name = "USER@HOST[:PORT]")]
    pub ssh: Option<String>,

    /// Where its agent will listen; the SSH host and port 7433 when not given
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,

    /// A label, for label:LABEL targets; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,

    /// A stack that runs there; may be repeated
    #[arg(long = "stack", value_name = "STACK")]
    pub stacks: Vec<String>,

    /// The server's host key, where no known_hosts file has it (SHA256:…)
    #[arg(long, value_name = "FINGERPRINT")]
    pub host_key: Option<String>,

    /// Also log in by password; asked for on the terminal
    #[arg(long)]
    pub ask_password: bool,

    /// File with the password for sudo; asked for when it is needed and not given
    #[arg(long, value_name = "FILE")]
    pub sudo_password_file: Option<PathBuf>,

    /// Install Docker and Compose from the distribution's packages where they are missing
    #[arg(long)]
    pub install_docker: bool,

    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// How written
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `host approve`.
#[derive(Debug, Args)]
pub struct HostApproveArgs {
    /// The host's name in the fleet
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The request that the agent made
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,

    /// Where its agent listens
    #[arg(long, value_name = "HOST:PORT")]
    pub address: String,

    /// Where the host is reached through SSH
    #[arg(long, value_name = "USER@HOST[:PORT]")]
    pub ssh: Option<String>,

    /// A label, for label:LABEL targets; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,

    /// A stack that runs there; may be repeated
    #[arg(long = "stack", value_name = "STACK")]
    pub stacks: Vec<String>,

    /// Where to write the grant that the agent accepts; standard output when not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// What can be done about operators.
#[derive(Debug, Subcommand)]
pub enum OperatorVerb {
    /// Make a key on this workstation and a request to be signed
    Request(OperatorRequestArgs),
    /// Sign an operator's request
    Approve(OperatorApproveArgs),
    /// Take the signed certificate into use on this workstation
    Accept(OperatorAcceptArgs),
    /// Show every operator that was approved on this workstation, and whether they still count
    #[command(visible_alias = "ls")]
    List(OutputArgs),
    /// Give this workstation's own operator a new key and certificate, where the authorities are kept
    Renew(OperatorRenewArgs),
    /// Let an operator in no more, on any host
    Revoke(OperatorRevokeArgs),
}

/// Arguments of `operator renew`.
#[derive(Debug, Args)]
#[command(
    after_help = "The name, the role and the limits stay. An admin's commands do this by themselves past two thirds\n\
    of the certificate's life when the passphrase is in LONGSHORE_CA_PASSPHRASE or\n\
    LONGSHORE_CA_PASSPHRASE_FILE. Elsewhere: controller operator request, and an admin approves it."
)]
pub struct OperatorRenewArgs {
    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Arguments of `operator revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "A NAME means all its certificates but the one that this workstation uses. The new revoked.crl is\n\
    brought to every host: new connections are refused at once, open ones end within 5 s. Commit it:\n\
    hosts that cannot be reached now get it from the next controller that has it."
)]
pub struct OperatorRevokeArgs {
    /// An operator's name, or the serial number of one certificate
    #[arg(value_name = "NAME|SERIAL")]
    pub who: String,

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

/// Arguments of `operator request`.
#[derive(Debug, Args)]
pub struct OperatorRequestArgs {
    /// The operator's name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Where to write the request; standard output when not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Read status, history and logs
    Viewer,
    /// Also change stacks
    Deployer,
    /// Also handle identities and data
    Admin,
}

impl From<RoleArg> for proto::role::Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Deployer => Self::Deployer,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// Arguments of `operator approve`.
#[derive(Debug, Args)]
pub struct OperatorApproveArgs {
    /// The operator's name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The request that the operator made
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,

    /// What they may do: viewer, deployer or admin
    #[arg(long, value_enum, hide_possible_values = true)]
    pub role: RoleArg,

    /// A host that they may work on, and no others; may be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,

    /// The same for each host that has the label now; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,

    /// Where to write the certificate; standard output when not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// File with the passphrase of the authorities; asked for when not given
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Arguments of `operator accept`.
#[derive(Debug, Args)]
pub struct OperatorAcceptArgs {
    /// The signed certificate
    #[arg(value_name = "FILE")]
    pub certificate: PathBuf,
}
