//! Where a host is reached: `name:port` for the agent, `user@name:port` for ssh.

use std::fmt;
use std::str::FromStr;

use proto::limits::DEFAULT_PORT;

/// Why an address was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address {text:?} {why}")]
pub struct InvalidAddress {
    text: String,
    why: &'static str,
}

impl InvalidAddress {
    fn new(text: &str, why: &'static str) -> Self {
        let text = text.chars().take(120).collect();
        Self { text, why }
    }
}

/// A host name or IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// The agent's usual port, as the host itself sees it.
    pub(crate) fn local() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = split(text)?;
        let port = port.unwrap_or(DEFAULT_PORT);
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        show(f, host, Some(*port))
    }
}

fn show(f: &mut fmt::Formatter<'_>, host: &str, port: Option<u16>) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]")?;
    } else {
        f.write_str(host)?;
    }
    port.map_or(Ok(()), |port| write!(f, ":{port}"))
}

/// How ssh reaches a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshTarget {
    /// The user; what `~/.ssh/config` says if absent, else the operator's own name.
    pub user: Option<String>,
    /// A name, an alias of `~/.ssh/config` or an IP address without brackets.
    pub host: String,
    /// The port; what `~/.ssh/config` says if absent, else 22.
    pub port: Option<u16>,
}

impl FromStr for SshTarget {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, text),
        };
        // A user such as `-oProxyCommand=…` must never reach a command line.
        let bad = |user: &str| {
            user.is_empty()
                || user.starts_with('-')
                || user.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if user.is_some_and(bad) {
            return Err(InvalidAddress::new(text, "has no usable user before '@'"));
        }
        let (host, port) = split(address)?;
        let user = user.map(str::to_owned);
        Ok(Self { user, host, port })
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        show(f, &self.host, self.port)
    }
}

fn split(text: &str) -> Result<(String, Option<u16>), InvalidAddress> {
    let refuse = |why| Err(InvalidAddress::new(text, why));
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else {
            return refuse("has '[' without ']'");
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return refuse("has no IPv6 address between the brackets");
        }
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return refuse("has something other than ':port' after ']'"),
        }
    } else if text.matches(':').count() > 1 {
        return refuse("has several colons; write an IPv6 address in brackets: [::1]:7433");
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if !host.contains(':') && !is_name(host) {
        return refuse("has no host name or IP address in it");
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return refuse("has a port that is not 1 to 65535"),
            Ok(port) => Some(port),
        },
    };
    Ok((host.to_owned(), port))
}

fn is_name(host: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.len() <= 63
            && label.chars().all(letter)
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("emilia.example.org:7433", "emilia.example.org:7433"),
            ("emilia", "emilia:7433"),
            ("10.77.0.2:1", "10.77.0.2:1"),
            ("[::1]", "[::1]:7433"),
            ("[fe80::1]:99", "[fe80::1]:99"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            ":1",
            "a:0",
            "a:70000",
            "::1",
            "[::1",
            "a b",
            "-x",
            "a..b",
            "https://a",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_ssh_target_cannot_become_an_option() {
        let target: SshTarget = "opquser@emilia.example.org:29862".parse().unwrap();
        assert_eq!(target.user.as_deref(), Some("opquser"));
        assert_eq!(target.port, Some(29862));
        for text in ["emilia", "root@[::1]", "root@[::1]:22"] {
            let target: SshTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), text, "no port is made up");
        }
        for text in ["-oProxyCommand=x@h", "@h", "u@-h", "a b@h"] {
            assert!(text.parse::<SshTarget>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_address_survives_text(text in "[a-z0-9.:@\\[\\]-]{0,24}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
    }
}
