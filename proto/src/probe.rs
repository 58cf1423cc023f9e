//! What an operator asks of a service's containers beyond their healthcheck: an answer over HTTP, an open port, a
//! program that ends well.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ServiceName;

/// Probes of one stack.
pub const PROBES: usize = 200;
/// How long one try may take, and how long the next one may wait, at most.
pub const SLOWEST: Duration = Duration::from_secs(5 * 60);
/// And at least.
pub const FASTEST: Duration = Duration::from_millis(100);
/// How long one try may take, unless said otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of one try to the next, unless said otherwise.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// The least and the most that a service's own deadline may be.
pub const DEADLINES: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
/// Bytes of a path, or of all words of a program together.
const WORDS: usize = 4096;

/// Something that each container of a service must answer once before it is judged good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Whose containers are asked.
    pub service: ServiceName,
    /// What.
    pub check: Check,
    /// How long one try may take.
    pub timeout: Duration,
    /// From the end of one try to the next.
    pub interval: Duration,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Check {
    /// `GET`, from the host to the container's own address.
    Http {
        /// Inside the container.
        port: u16,
        /// With its slash, and maybe a query.
        path: String,
        /// The good answer; `None`: any from 200 to 399.
        status: Option<u16>,
    },
    /// Somebody listens.
    Tcp {
        /// Inside the container.
        port: u16,
    },
    /// A program inside the container ends with 0.
    Exec {
        /// Never through a shell.
        argv: Vec<String>,
    },
}

/// Why a probe was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProbe {
    /// No port has this number.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// Nothing that could stand in a request.
    #[error("{0:?} is no path for a probe: it begins with a slash, and has no blanks and no #")]
    Path(String),
    /// No answer has this status.
    #[error("an HTTP status is a number from 100 to 599")]
    Status,
    /// Nothing to run.
    #[error("the probe's program is missing, too long, or has a NUL byte in it")]
    Argv,
    /// Too hasty or too slow.
    #[error("a probe's {0} is a time from 100ms to 5m")]
    Time(&'static str),
}

impl Probe {
    /// Checks every part.
    ///
    /// # Errors
    /// When one of them could not be asked.
    pub fn new(
        service: ServiceName,
        check: Check,
        timeout: Duration,
        interval: Duration,
    ) -> Result<Self, InvalidProbe> {
        check.validate()?;
        for (name, time) in [("timeout", timeout), ("interval", interval)] {
            if !(FASTEST..=SLOWEST).contains(&time) {
                return Err(InvalidProbe::Time(name));
            }
        }
        Ok(Self {
            service,
            check,
            timeout,
            interval,
        })
    }
}

impl Check {
    fn validate(&self) -> Result<(), InvalidProbe> {
        match self {
            Self::Http { port: 0, .. } | Self::Tcp { port: 0 } => Err(InvalidProbe::Port),
            Self::Tcp { .. } => Ok(()),
            Self::Http { path, .. } if !is_path(path) => {
                Err(InvalidProbe::Path(path.chars().take(80).collect()))
            }
            Self::Http { status, .. } => match status {
                Some(status) if !(100..600).contains(status) => Err(InvalidProbe::Status),
                _ => Ok(()),
            },
            Self::Exec { argv } => {
                let bytes: usize = argv.iter().map(|word| word.len() + 1).sum();
                let empty = argv.first().is_none_or(String::is_empty);
                if empty || bytes > WORDS || argv.iter().any(|word| word.contains('\0')) {
                    return Err(InvalidProbe::Argv);
                }
                Ok(())
            }
        }
    }
}

fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    path.starts_with('/') && path.len() <= WORDS && path.bytes().all(plain)
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { port, path, .. } => write!(f, "http {path} on port {port}"),
            Self::Tcp { port } => write!(f, "tcp port {port}"),
            Self::Exec { argv } => {
                let words = argv.join(" ");
                let short: String = words.chars().take(60).collect();
                let more = if short.len() < words.len() { "…" } else { "" };
                write!(f, "exec {short}{more}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(check: Check) -> Result<Probe, InvalidProbe> {
        Probe::new("web".parse().unwrap(), check, TIMEOUT, INTERVAL)
    }

    fn http(path: &str, status: Option<u16>) -> Check {
        Check::Http {
            port: 80,
            path: path.to_owned(),
            status,
        }
    }

    #[test]
    fn what_could_not_be_asked_is_no_probe() {
        let argv = |words: &[&str]| Check::Exec {
            argv: words.iter().map(|&word| word.to_owned()).collect(),
        };
        for bad in [
            Check::Tcp { port: 0 },
            http("health", None),
            http("/a b", None),
            http("/a\r\nHost: x", None),
            http("/", Some(99)),
            argv(&[]),
            argv(&[""]),
            argv(&["a", "b\0"]),
            argv(&[&"x".repeat(5000)]),
        ] {
            assert!(probe(bad.clone()).is_err(), "{bad:?}");
        }
        for good in [http("/ok?deep=1", Some(204)), argv(&["pg_isready", ""])] {
            assert!(probe(good).is_ok());
        }
        let hasty = Duration::from_millis(1);
        let service = "web".parse().unwrap();
        let error = Probe::new(service, http("/", None), TIMEOUT, hasty).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a probe's interval is a time from 100ms to 5m"
        );
    }

    #[test]
    fn a_probe_is_told_in_a_few_words() {
        assert_eq!(http("/health", None).to_string(), "http /health on port 80");
        let argv = ["sh", "-c", &"x".repeat(100)].map(str::to_owned).into();
        assert_eq!(Check::Exec { argv }.to_string().chars().count(), 66);
    }
}
