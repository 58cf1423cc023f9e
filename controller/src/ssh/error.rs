//! Why there is no way to a host over ssh, told so that a person knows where to look.

use std::io;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};

use super::Passwords;
use super::config::ConfigError;
use super::known_hosts::KnownHostsError;
use crate::tcp::TcpError;

/// What went wrong between here and a host over ssh.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// `~/.ssh/config` cannot be followed.
    #[error("the configuration of ssh cannot be followed")]
    Config(#[from] ConfigError),
    /// The hosts in between lead nowhere.
    #[error("{host} is reached through more than {most} hosts; does one of them lead back?")]
    TooManyJumps {
        /// Where to.
        host: String,
        /// The limit.
        most: usize,
    },
    /// A host in between is not reached.
    #[error("cannot go through {through}")]
    Jump {
        /// The host in between.
        through: String,
        /// Why not.
        source: Box<SshError>,
    },
    /// No TCP connection.
    #[error("{host} is not reached")]
    Network {
        /// Where.
        host: String,
        /// Why.
        source: TcpError,
    },
    /// It takes connections, but says nothing in time.
    #[error("{host} did not {what} within {} s", after.as_secs())]
    Silent {
        /// Where.
        host: String,
        /// `say who it is`.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// What answers there is no SSH server, or broke off before it proved who it is.
    #[error("{host} does not speak SSH as it should")]
    Handshake {
        /// Where.
        host: String,
        /// The library's reason.
        source: russh::Error,
    },
    /// Nothing that is safe is spoken by both sides.
    #[error("{host} and longshore have no {what} in common that is safe")]
    Algorithms {
        /// Where.
        host: String,
        /// `cipher`.
        what: &'static str,
        /// What the host offers.
        theirs: Vec<String>,
    },
    /// The files of known hosts cannot be read.
    #[error("whether {host} is known cannot be told")]
    KnownHosts {
        /// Where.
        host: String,
        /// Which file, and why.
        #[source]
        source: KnownHostsError,
    },
    /// The host's key is not accepted.
    #[error("the key of {host} is refused: {reason}")]
    HostKey {
        /// Where.
        host: String,
        /// `ssh-ed25519 SHA256:…`.
        shown: String,
        /// Why.
        reason: KeyRefusal,
    },
    /// Nothing that we have lets us in.
    #[error("{host} does not let {user} in")]
    Denied {
        /// Where.
        host: String,
        /// As whom.
        user: String,
        /// What was tried, and what came of it.
        tried: Vec<String>,
        /// What the host would take.
        offered: Vec<String>,
        /// Whether anybody was asked for one.
        passwords: Passwords,
    },
    /// A secret was needed and there was nobody to ask.
    #[error("{}", .0.what)]
    Secret(Fault),
    /// The connection is gone.
    #[error("the ssh connection to {host} is lost")]
    Lost {
        /// Where to.
        host: String,
        /// What is known about it.
        why: String,
    },
    /// The host refuses to run or to forward something.
    #[error("{host} {what}")]
    Refused {
        /// Where.
        host: String,
        /// `cannot connect to 127.0.0.1:7433`.
        what: String,
        /// What would help.
        hint: &'static str,
    },
    /// A command did not end in time.
    #[error("a command on {host} did not end within {} s", after.as_secs())]
    TimedOut {
        /// Where.
        host: String,
        /// The deadline.
        after: Duration,
    },
    /// What was to be sent to a command cannot be read.
    #[error("what a command on {host} needs cannot be read here")]
    Input {
        /// Where.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A defect in longshore or in its SSH library.
    #[error("the ssh connection to {host} broke off because of a defect")]
    Defect {
        /// Where to.
        host: String,
    },
}

/// Why a host's key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// The host is known by another key.
    #[error("it is known by another one")]
    Changed {
        /// The line that says so.
        place: String,
    },
    /// The host is known, but only by keys of other algorithms.
    #[error("it is known, but only by its {} key", known.join(" and "))]
    OtherAlgorithm {
        /// Which.
        known: Vec<String>,
        /// The line that says so.
        place: String,
    },
    /// A `@revoked` line names the key.
    #[error("the key is revoked")]
    Revoked {
        /// The line that says so.
        place: String,
    },
    /// Nobody has said yes to it.
    #[error("it is not known")]
    Unknown {
        /// The host's keys are signed by an authority, which longshore does not read.
        authority: bool,
        /// `SHA256:…`.
        fingerprint: String,
    },
    /// It is not the one that the operator named.
    #[error("it is not the one given, {given}")]
    NotTheGiven {
        /// `SHA256:…`.
        given: String,
    },
    /// A certificate, which nothing here can judge.
    #[error("it is a certificate")]
    Certificate,
}

impl SshError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Config(_) | Self::TooManyJumps { .. } => FaultKind::InvalidRequest,
            Self::Jump { source, .. } => source.kind(),
            Self::KnownHosts { .. } | Self::HostKey { .. } | Self::Denied { .. } => {
                FaultKind::Denied
            }
            Self::Secret(fault) => fault.kind,
            Self::Algorithms { .. } => FaultKind::Unsupported,
            Self::TimedOut { .. } | Self::Input { .. } => FaultKind::Failed,
            Self::Defect { .. } => FaultKind::Internal,
            Self::Network { .. }
            | Self::Silent { .. }
            | Self::Handshake { .. }
            | Self::Lost { .. }
            | Self::Refused { .. } => FaultKind::Unreachable,
        }
    }

    /// What the chain of sources does not say.
    fn causes(&self) -> Vec<String> {
        match self {
            Self::Algorithms { theirs, .. } => vec![format!("it offers {}", theirs.join(", "))],
            Self::HostKey { shown, .. } => vec![format!("it shows {shown}")],
            Self::Lost { why, .. } => vec![why.clone()],
            Self::Denied { tried, offered, .. } => {
                let mut causes = tried.clone();
                if causes.is_empty() {
                    causes.push("there was no key to try".to_owned());
                }
                if !offered.is_empty() {
                    causes.push(format!("it takes {}", offered.join(", ")));
                }
                causes
            }
            _ => Vec::new(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(ConfigError::Exposed(path)) => {
                vec![format!("chmod go-w {}", path.display())]
            }
            Self::Config(ConfigError::NoUser) => {
                vec!["write user@host, or User in ~/.ssh/config".to_owned()]
            }
            Self::Jump { source, .. } => source.hints(),
            Self::Network { source, .. } => vec![network(source).to_owned()],
            Self::Algorithms {
                what: "host key", ..
            } => vec![
                "give the host an ed25519 key: ssh-keygen -A there, then restart its ssh"
                    .to_owned(),
            ],
            Self::Algorithms { .. } => vec!["a newer OpenSSH on the host helps".to_owned()],
            Self::HostKey { host, reason, .. } => reason.hints(host),
            Self::Denied {
                passwords, offered, ..
            } => denied(*passwords, offered),
            Self::Secret(fault) => fault.hints.clone(),
            Self::Refused { hint, .. } => vec![(*hint).to_owned()],
            _ => Vec::new(),
        }
    }
}

fn network(error: &TcpError) -> &'static str {
    match error {
        TcpError::NoSuchName(_) => "check the name, or give it a HostName in ~/.ssh/config",
        TcpError::Refused => "does ssh listen on another port there? write it as user@host:port",
        TcpError::NoAnswer | TcpError::Network(_) => {
            "is the host up, and does its firewall let ssh through?"
        }
    }
}

fn denied(passwords: Passwords, offered: &[String]) -> Vec<String> {
    let mut hints = vec![
        "add the key to ssh-agent with ssh-add, or name it with IdentityFile in ~/.ssh/config"
            .to_owned(),
    ];
    let password = |method: &String| method == "password" || method == "keyboard-interactive";
    if passwords == Passwords::IfWanted && offered.iter().any(password) {
        hints.push("--ask-password lets longshore ask for the password".to_owned());
    }
    hints
}

impl KeyRefusal {
    fn hints(&self, host: &str) -> Vec<String> {
        match self {
            Self::Changed { place } => vec![format!(
                "somebody may be listening in; if the host was really made anew, remove {place} and compare the new fingerprint on the host"
            )],
            Self::OtherAlgorithm { place, .. } => vec![format!(
                "{place} says so; after comparing the fingerprint on the host, add this key beside it: ssh-keyscan {host}"
            )],
            Self::Revoked { place } => vec![format!("{place} says so")],
            Self::Unknown {
                authority,
                fingerprint,
            } => {
                let mut hints = vec![format!(
                    "compare it on the host with ssh-keygen -l; ssh remembers it once it is accepted there, and host add takes --host-key {fingerprint}"
                )];
                if *authority {
                    hints.push("longshore does not read certificates of hosts, so a @cert-authority line does not help".to_owned());
                }
                hints
            }
            Self::NotTheGiven { .. } => {
                vec![
                    "somebody may be listening in; compare on the host with ssh-keygen -l"
                        .to_owned(),
                ]
            }
            Self::Certificate => Vec::new(),
        }
    }
}

impl From<SshError> for Fault {
    fn from(error: SshError) -> Self {
        if let SshError::Secret(fault) = error {
            return fault;
        }
        let mut fault = Self::new(error.kind(), error.to_string());
        let mut next: Option<&SshError> = Some(&error);
        while let Some(error) = next {
            for cause in error.causes() {
                fault = fault.cause(cause);
            }
            next = None;
            match error {
                SshError::Jump { source, .. } => {
                    fault = fault.cause(source.to_string());
                    next = Some(source);
                }
                _ => {
                    if let Some(source) = std::error::Error::source(error) {
                        fault = fault.because(source);
                    }
                }
            }
        }
        for hint in error.hints() {
            fault = fault.hint(hint);
        }
        fault
    }
}
