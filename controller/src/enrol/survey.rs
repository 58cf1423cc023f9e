//! What a server is and has, read from what `survey.sh` prints there.

use std::time::Duration;

use proto::compose;
use serde::Deserialize;

/// The script; it runs as root and changes nothing.
pub(super) const SCRIPT: &str = include_str!("survey.sh");

/// A server before anything is done to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// As `uname -m` spells it.
    pub machine: String,
    /// As `uname -s` spells it.
    pub kernel: String,
    /// The distribution and those it descends from: `debian`, `ubuntu debian`.
    pub family: String,
    /// The distribution as it calls itself.
    pub title: String,
    /// Its wall clock, in unix seconds.
    pub now: Option<i64>,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// Whether packages are installed by apt.
    pub apt: bool,
    /// Bytes free where programs are kept.
    pub free: Option<u64>,
    /// Docker.
    pub engine: Part,
    /// Compose.
    pub compose: Part,
    /// SHA-256 of the installed agent, in hexadecimal.
    pub agent: Option<String>,
    /// What the installed agent calls itself.
    pub version: Option<String>,
    /// What starts it.
    pub starter: Starter,
    /// Whom the host's certificate speaks for, as its agent reads it.
    pub identity: Option<Installed>,
    /// There is an identity, whether or not an agent can read it.
    pub enrolled: bool,
    /// The unit runs.
    pub active: bool,
}

/// What starts an agent, each as its SHA-256 in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Starter {
    /// The script that gives a new agent its tries.
    pub launch: Option<String>,
    /// systemd's unit; some servers have no systemd.
    pub unit: Option<String>,
}

/// A program that an agent needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Part {
    /// Not there.
    #[default]
    Missing,
    /// There, and it does not say its version: stopped, most likely.
    Silent,
    /// There, with this version.
    Version(String),
}

impl Part {
    fn read(text: &str) -> Self {
        match text {
            "" | "unknown" => Self::Silent,
            version => Self::Version(version.to_owned()),
        }
    }

    /// The version of a Compose that cannot do what is asked of it.
    #[must_use]
    pub fn too_old(&self) -> Option<&str> {
        let Self::Version(version) = self else {
            return None;
        };
        let old = compose::numbers(version).is_some_and(|found| found < compose::OLDEST);
        old.then_some(version)
    }
}

/// What `agent identity --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Installed {
    /// The host's name in its fleet.
    pub host: String,
    /// Its fleet.
    pub fleet: String,
    /// Names the authorities it obeys.
    pub authorities: String,
    /// Names its fleet, whatever authorities it has; empty from an agent that does not tell.
    #[serde(default)]
    pub fleet_id: String,
    /// Unix seconds at which its certificate ends.
    pub expires: i64,
}

impl Installed {
    /// Whether its authorities are, or were once, those of that fleet.
    pub(super) fn is_of(&self, fleet_id: &str) -> bool {
        [&self.fleet_id, &self.authorities]
            .into_iter()
            .any(|id| id == fleet_id)
    }
}

impl Survey {
    /// Reads what the script printed; what is not understood is left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            found.take(key, value.trim());
        }
        found
    }

    fn take(&mut self, key: &str, value: &str) {
        let some = || (!value.is_empty()).then(|| value.to_owned());
        match key {
            "machine" => self.machine = value.to_owned(),
            "kernel" => self.kernel = value.to_owned(),
            "os" | "like" => self.family = format!("{} {value}", self.family).trim().to_owned(),
            "title" => self.title = value.to_owned(),
            "now" => self.now = value.parse().ok(),
            "systemd" => self.systemd = true,
            "apt" => self.apt = true,
            "free" => {
                let kib = value.parse::<u64>().ok();
                self.free = kib.and_then(|kib| kib.checked_mul(1024));
            }
            "engine" => self.engine = Part::read(value),
            "compose" => self.compose = Part::read(value),
            "agent" => self.agent = some(),
            "launch" => self.starter.launch = some(),
            "unit" => self.starter.unit = some(),
            "version" => self.version = value.strip_prefix("agent ").map(str::to_owned),
            "identity" => self.identity = serde_json::from_str(value).ok(),
            "enrolled" => self.enrolled = true,
            "active" => self.active = true,
            _ => {}
        }
    }

    /// Whether the agent with this SHA-256 is installed.
    pub(super) fn has_agent(&self, sha256: &str) -> bool {
        self.agent.as_deref() == Some(sha256)
    }

    /// Whether an agent is started there by this.
    pub(super) fn has_starter(&self, ours: &Starter) -> bool {
        let Starter { launch, unit } = &self.starter;
        launch == &ours.launch && (unit == &ours.unit || unit.is_none() && !self.systemd)
    }

    /// Whether there is no Compose that will do.
    pub(super) fn lacks_compose(&self) -> bool {
        self.compose == Part::Missing || self.compose.too_old().is_some()
    }

    /// How far its clock is from ours, `now` in unix seconds.
    #[must_use]
    pub fn skew(&self, now: i64) -> Duration {
        Duration::from_secs(self.now.map_or(0, |there| there.abs_diff(now)))
    }

    /// The distribution, or what the kernel calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        [&self.title, &self.kernel]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("an unknown system", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRIXIE: &str = "machine aarch64\nkernel Linux\nnow 1795276800\nos debian\nlike\n\
        title Debian GNU/Linux 13 (trixie)\nsystemd yes\napt yes\nfree 1048576\nengine\ncompose 2.26.1\n\
        agent 00ff\nversion agent 0.1.0\n\
        identity {\"host\":\"emilia\",\"fleet\":\"opq\",\"authorities\":\"ab\",\"expires\":5,\"revocations\":3}\n\
        enrolled yes\n";

    #[test]
    fn a_server_is_read_from_its_lines() {
        let found = Survey::read(TRIXIE);
        assert_eq!(
            (found.machine.as_str(), found.name()),
            ("aarch64", "Debian GNU/Linux 13 (trixie)")
        );
        assert_eq!(
            (found.systemd, found.apt, found.active, found.enrolled),
            (true, true, false, true)
        );
        assert_eq!(found.free, Some(1024 * 1024 * 1024));
        assert_eq!(found.engine, Part::Silent);
        assert_eq!(found.compose, Part::Version("2.26.1".into()));
        assert_eq!(found.version.as_deref(), Some("0.1.0"));
        assert_eq!(found.identity.unwrap().host, "emilia");
        assert_eq!(Survey::read("").engine, Part::Missing);
    }

    #[test]
    fn the_script_itself_is_read_on_this_machine() {
        let output = std::process::Command::new("sh")
            .args(["-c", SCRIPT])
            .output()
            .unwrap();
        let found = Survey::read(&String::from_utf8_lossy(&output.stdout));
        assert_eq!(found.kernel, "Linux");
        assert!(found.now.is_some() && found.free.is_some(), "{found:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(engine|compose|now|free|identity|agent| |\n|[a-z{}\":,0-9é]){0,60}") {
            let _any = Survey::read(&text);
        }
    }
}
