//! Why there is no connection to a host, told so that a person knows where to look.

use std::error::Error;
use std::io;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::{HostName, OperatorName};
use rustls::{AlertDescription, CertificateError};
use time::Date;

use super::verify::WrongHost;
use crate::clock;
use crate::tcp::TcpError;

/// Why a host does not let an operator in, as far as its TLS alert tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRefusal {
    /// The certificate is limited to other hosts.
    #[error("the certificate is good for other hosts only")]
    OtherHosts,
    /// The certificate has expired, or the host's clock is wrong.
    #[error("the certificate is not valid at this time")]
    NotValidNow,
    /// The certificate stands in the revocation list.
    #[error("the certificate is revoked")]
    Revoked,
    /// A stranger, or a host whose clock is far ahead.
    #[error(
        "the host does not know this fleet's authority, or its list of revoked operators is too old"
    )]
    UnknownAuthority,
    /// No certificate was sent.
    #[error("it wants a certificate and got none")]
    NoCertificate,
    /// A certificate of another kind, or of another fleet.
    #[error("the certificate is not an operator's of this fleet")]
    NotAnOperator,
}

/// Why a host's certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostCertificateProblem {
    /// Its last day is over.
    #[error("it has expired")]
    Expired,
    /// Its first day is still to come.
    #[error("it is not valid yet")]
    NotValidYet,
    /// Another CA signed it.
    #[error("it was not signed by this fleet's authority")]
    UnknownAuthority,
    /// Its extended key usage is not `serverAuth`.
    #[error("it is not meant for a server")]
    NotForServers,
    /// It names no host of a fleet.
    #[error("it is not a host's certificate")]
    NotAHost,
    /// It is malformed, or its signature is wrong.
    #[error("it cannot be verified")]
    Unverifiable,
}

/// No connection to a host.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name does not resolve.
    #[error("{address} is not known to DNS")]
    NoSuchName {
        /// Where to.
        address: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// The machine is there, the agent is not.
    #[error("nothing listens on {address}")]
    Refused {
        /// Where to.
        address: String,
    },
    /// Packets vanish.
    #[error("{address} did not answer within {} s", after.as_secs())]
    NoAnswer {
        /// Where to.
        address: String,
        /// The deadline.
        after: Duration,
    },
    /// The network failed in another way.
    #[error("cannot reach {address}")]
    Network {
        /// Where to.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Something accepted the connection and stayed silent, or broke off.
    #[error("{address} takes connections but did not shake hands within {} s", after.as_secs())]
    NoHandshake {
        /// Where to.
        address: String,
        /// The deadline.
        after: Duration,
    },
    /// Something else answers there.
    #[error("{address} is no longshore agent: {why}")]
    NotLongshore {
        /// Where to.
        address: String,
        /// What it did.
        why: String,
    },
    /// A good certificate, of another host.
    #[error("{address} is not {expected}: it is {found}")]
    NotTheHost {
        /// Where to.
        address: String,
        /// Who was meant.
        expected: HostName,
        /// Who answered, as its certificate names it.
        found: String,
    },
    /// The host's certificate is not good.
    #[error("the certificate of {host} at {address} is refused: {why}")]
    HostCertificate {
        /// Where to.
        address: String,
        /// Who was meant.
        host: HostName,
        /// What is wrong with it.
        why: HostCertificateProblem,
    },
    /// The host does not want us.
    #[error("{host} at {address} refuses this operator: {why}")]
    OperatorRefused {
        /// Where to.
        address: String,
        /// Who refuses.
        host: HostName,
        /// What it has against the operator.
        why: OperatorRefusal,
    },
    /// Nobody lets us in any more, so nobody is asked.
    #[error("the certificate of operator {operator} on this machine expired on {day} (UTC)")]
    OperatorExpired {
        /// Whose.
        operator: OperatorName,
        /// Its last day, `2026-05-01`.
        day: Date,
    },
    /// This side cannot even begin.
    #[error("this operator's identity cannot be used")]
    Setup(#[source] rustls::Error),
}

impl ConnectError {
    /// The connection error inside a library's error, if that is what it wraps.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut error = error;
        loop {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // An io::Error names the cause of what it wraps as its source, not what it wraps.
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            error = match wrapped {
                Some(wrapped) => wrapped,
                None => error.source()?,
            };
        }
    }

    pub(super) fn from_tcp(address: &str, error: TcpError) -> Self {
        let address = address.to_owned();
        match error {
            TcpError::NoSuchName(source) => Self::NoSuchName { address, source },
            TcpError::Refused => Self::Refused { address },
            TcpError::NoAnswer => Self::NoAnswer {
                address,
                after: proto::limits::CONNECT_TIMEOUT,
            },
            TcpError::Network(source) => Self::Network { address, source },
        }
    }

    pub(super) fn from_tls(address: &str, host: &HostName, error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls {
            None => Self::NotLongshore {
                address: address.to_owned(),
                why: "it broke off the TLS handshake".into(),
            },
            Some(rustls::Error::AlertReceived(alert)) => Self::from_alert(address, host, *alert),
            Some(rustls::Error::InvalidCertificate(error)) => certificate(address, host, error),
            Some(other) => Self::NotLongshore {
                address: address.to_owned(),
                why: other.to_string(),
            },
        }
    }

    pub(super) fn from_alert(address: &str, host: &HostName, alert: AlertDescription) -> Self {
        let Some(why) = why(alert) else {
            return Self::NotLongshore {
                address: address.to_owned(),
                why: format!("it answers with the TLS alert {alert:?}"),
            };
        };
        Self::OperatorRefused {
            address: address.to_owned(),
            host: host.clone(),
            why,
        }
    }
}

/// What a host that sends this alert has against the operator.
fn why(alert: AlertDescription) -> Option<OperatorRefusal> {
    Some(match alert {
        AlertDescription::CertificateExpired => OperatorRefusal::NotValidNow,
        AlertDescription::CertificateRevoked => OperatorRefusal::Revoked,
        AlertDescription::UnknownCA => OperatorRefusal::UnknownAuthority,
        AlertDescription::CertificateRequired => OperatorRefusal::NoCertificate,
        AlertDescription::AccessDenied => OperatorRefusal::OtherHosts,
        AlertDescription::UnsupportedCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => OperatorRefusal::NotAnOperator,
        _ => return None,
    })
}

fn certificate(address: &str, host: &HostName, error: &CertificateError) -> ConnectError {
    let (address, host) = (address.to_owned(), host.clone());
    let why = match error {
        CertificateError::Other(other) => {
            if let Some(WrongHost(found)) = other.0.downcast_ref() {
                return ConnectError::NotTheHost {
                    address,
                    expected: host,
                    found: found.clone(),
                };
            }
            HostCertificateProblem::NotAHost
        }
        CertificateError::Expired => HostCertificateProblem::Expired,
        CertificateError::NotValidYet => HostCertificateProblem::NotValidYet,
        CertificateError::UnknownIssuer => HostCertificateProblem::UnknownAuthority,
        CertificateError::InvalidPurpose => HostCertificateProblem::NotForServers,
        _ => HostCertificateProblem::Unverifiable,
    };
    ConnectError::HostCertificate { address, host, why }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        Self::from(&error)
    }
}

impl From<&ConnectError> for Fault {
    fn from(error: &ConnectError) -> Self {
        let fault = |kind| Self::new(kind, error.to_string());
        match error {
            ConnectError::NoSuchName { source, .. } => fault(FaultKind::Unreachable)
                .cause(source.to_string())
                .hint("check the host's address in fleet.toml"),
            ConnectError::Refused { .. } => fault(FaultKind::Unreachable)
                .hint("is the agent running? on the host: systemctl status longshore-agent"),
            ConnectError::NoAnswer { .. } => fault(FaultKind::Unreachable)
                .hint("is the host up, and does its firewall let the agent's port through?"),
            ConnectError::Network { source, .. } => {
                fault(FaultKind::Unreachable).cause(source.to_string())
            }
            ConnectError::NoHandshake { .. } => {
                fault(FaultKind::Unreachable).hint("the host may be overloaded or frozen")
            }
            ConnectError::NotLongshore { .. } => {
                fault(FaultKind::Unreachable).hint("check the address and port in fleet.toml")
            }
            ConnectError::NotTheHost { .. } => fault(FaultKind::Denied)
                .hint("check the addresses in fleet.toml; two hosts may have been swapped"),
            ConnectError::HostCertificate { host, why, .. } => {
                certificate_hint(fault(FaultKind::Denied), host, *why)
            }
            ConnectError::OperatorRefused { host, why, .. } => {
                operator_hint(fault(FaultKind::Denied), host, *why)
            }
            ConnectError::OperatorExpired { operator, .. } => fault(FaultKind::Denied)
                .hint(format!(
                    "a new one: controller operator request {operator}, then have an admin approve it"
                ))
                .hint("if that day is still to come, set this machine's clock"),
            ConnectError::Setup(source) => fault(FaultKind::Denied).cause(source.to_string()),
        }
    }
}

fn operator_hint(fault: Fault, host: &HostName, why: OperatorRefusal) -> Fault {
    match why {
        OperatorRefusal::OtherHosts => fault.hint(
            "an admin says which hosts an operator is good for: controller operator approve --host",
        ),
        OperatorRefusal::NotValidNow | OperatorRefusal::UnknownAuthority => fault
            .hint(clocks(host))
            .hint("else a new certificate: controller operator request NAME, approved by an admin"),
        OperatorRefusal::Revoked
        | OperatorRefusal::NoCertificate
        | OperatorRefusal::NotAnOperator => {
            fault.hint("a new certificate: controller operator request NAME, approved by an admin")
        }
    }
}

fn certificate_hint(fault: Fault, host: &HostName, why: HostCertificateProblem) -> Fault {
    match why {
        HostCertificateProblem::Expired | HostCertificateProblem::NotValidYet => {
            let hint = format!("else on the host: agent enroll --name {host}, then approve it");
            fault.hint(clocks(host)).hint(hint).hint(format!(
                "or over ssh, which keeps all that is there: controller host add {host}"
            ))
        }
        HostCertificateProblem::UnknownAuthority
        | HostCertificateProblem::NotForServers
        | HostCertificateProblem::NotAHost
        | HostCertificateProblem::Unverifiable => fault
            .hint("is this the newest ca.pem? git pull brings it where authorities were replaced")
            .hint("else the machine at this address does not belong to the fleet of this ca.pem"),
    }
}

fn clocks(host: &HostName) -> String {
    let here = clock::written(clock::now());
    format!("compare the clocks: here it is {here} (UTC); on {host}: date -u")
}
