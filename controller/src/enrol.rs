//! Makes a server a host of the fleet: looks, tells what is to be done, does it step by step, and proves the result.
//!
//! Every step looks at what is there before it does anything, and leaves either what was there or what is meant to be:
//! interrupted anywhere, the same command completes it. Files are sent beside their place and checked by their hash
//! there before they may run; the host's key is made on the host and stays there.

use std::time::Duration;

use futures_util::future::BoxFuture;
use proto::compose;
use proto::fault::{Fault, FaultKind};
use proto::hello::HostFacts;
use proto::id::{FleetName, HostName};
use serde::Serialize;
use tokio::time::{Instant, sleep};

pub mod script;
pub mod server;
pub mod step;
pub mod survey;

use crate::agents::Agent;
use script::quoted;
use server::{Server, nothing};
use step::{Goal, Planned, Step};
use survey::{Part, Starter, Survey};

const INSTALL: &str = include_str!("../../deploy/install.sh");
const LAUNCH: &str = include_str!("../../deploy/launch");
const UNIT: &str = include_str!("../../deploy/longshore-agent.service");
const DOCKER: &str = include_str!("enrol/docker.sh");

/// Where files wait until they are installed: beside their place, so that installing is a rename.
const INCOMING: &str = "/usr/local/lib/longshore/incoming";
const UNIT_NAME: &str = "longshore-agent.service";
/// What a person types where there is no systemd.
const FOREGROUND: &str = "/usr/local/lib/longshore/launch --keep run";

const SHORT: Duration = Duration::from_secs(60);
/// An agent over a slow line; the connection's keepalive ends a dead one long before.
const UPLOAD: Duration = Duration::from_secs(30 * 60);
const PACKAGES: Duration = Duration::from_secs(20 * 60);
/// An agent with many stacks reads its journals before it listens.
const PROOF: Duration = Duration::from_secs(30);
const PROOF_PAUSE: Duration = Duration::from_millis(250);

/// What enrolment needs of the workstation.
pub trait Office: Send + Sync {
    /// The agent for a machine, as `uname -m` spells it.
    ///
    /// # Errors
    /// When there is none for it, with the reason.
    fn agent(&self, machine: &str) -> Result<Agent, Fault>;

    /// Gets ready to sign: asks for the passphrase, if it has to be asked for. Called before anything is changed.
    ///
    /// # Errors
    /// When there is none.
    fn unlock(&self) -> Result<(), Fault>;

    /// Signs the host's request and writes the host into the fleet's file; gives the grant.
    ///
    /// # Errors
    /// When the request will not do, or the authorities cannot be opened.
    fn sign(&self, request: &str) -> Result<String, Fault>;

    /// Speaks to the agent, both identities proved.
    fn prove(&self) -> BoxFuture<'_, Result<HostFacts, Fault>>;

    /// The present in unix seconds.
    fn now(&self) -> i64;
}

/// What is wished for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The host's name.
    pub host: HostName,
    /// Its fleet.
    pub fleet: FleetName,
    /// Names the fleet's authorities.
    pub authorities: String,
    /// Names the fleet, whatever its authorities are.
    pub fleet_id: String,
    /// Where the agent will be reached, for people.
    pub address: String,
    /// Install Docker and Compose where they are missing.
    pub install_docker: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What happens, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Told {
    /// What the server is.
    Server {
        /// The distribution.
        system: String,
        /// As image platforms spell it.
        architecture: String,
        /// How scripts run there.
        rights: String,
    },
    /// What there is to do, before any of it.
    Plan {
        /// In order.
        steps: Vec<Planned>,
    },
    /// A step begins.
    Begun {
        /// Which.
        step: Step,
        /// What is done.
        what: String,
    },
    /// A step is done, or was done before.
    Done {
        /// Which.
        step: Step,
        /// What is there now.
        what: String,
    },
    /// Something that somebody should see to.
    Warning {
        /// In which step.
        step: Step,
        /// What.
        what: String,
        /// What to do.
        hint: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The agent answers.
    Ready(Box<HostFacts>),
    /// All is in place, and somebody has to start the agent: there is no systemd.
    NotStarted,
    /// Nothing was done, as asked.
    Planned,
}

/// One enrolment.
pub struct Enrolment<'a> {
    /// What is wished for.
    pub wish: &'a Wish,
    /// The server, with a way to root.
    pub server: &'a Server<'a>,
    /// The workstation.
    pub office: &'a dyn Office,
    /// Who shows what happens.
    pub tell: &'a (dyn Fn(Told) + Send + Sync),
}

impl Enrolment<'_> {
    /// Takes every step that is needed.
    ///
    /// # Errors
    /// With the step that failed; what was done before it stays done, and the same call goes on from there.
    pub async fn run(&self) -> Result<Outcome, Fault> {
        let survey = self.look().await?;
        let binary = self.office.agent(&survey.machine)?;
        (self.tell)(Told::Server {
            system: survey.name().to_owned(),
            architecture: binary.arch.to_string(),
            rights: self.server.rights(),
        });
        let sha256 = binary.sha256.to_string();
        let starter = Starter {
            launch: Some(digest(LAUNCH)),
            unit: Some(digest(UNIT)),
        };
        let goal = self.goal(&binary, &sha256, &starter);
        let steps = step::plan(&survey, &goal)?;
        let plan = steps.clone();
        (self.tell)(Told::Plan { steps: plan });
        if self.wish.dry_run {
            return Ok(Outcome::Planned);
        }
        let signs = |planned: &Planned| planned.needed && planned.step == Step::Identity;
        if steps.iter().any(signs) {
            self.office.unlock()?;
        }
        for planned in &steps {
            if !planned.needed {
                self.done(planned.step, planned.what.clone());
                continue;
            }
            let (step, what) = (planned.step, planned.what.clone());
            (self.tell)(Told::Begun { step, what });
            match step {
                Step::Docker => self.docker(&survey).await?,
                Step::Agent => self.agent(&binary, &survey).await?,
                Step::Identity => self.identity().await?,
                Step::Service => self.service().await?,
                Step::Link => return self.link(&survey).await,
            }
        }
        Ok(Outcome::NotStarted)
    }

    fn goal<'b>(&'b self, binary: &'b Agent, sha256: &'b str, starter: &'b Starter) -> Goal<'b> {
        Goal {
            host: &self.wish.host,
            fleet: &self.wish.fleet,
            authorities: &self.wish.authorities,
            fleet_id: &self.wish.fleet_id,
            version: &binary.version,
            sha256,
            starter,
            size: binary.size,
            install_docker: self.wish.install_docker,
            address: &self.wish.address,
            now: self.office.now(),
        }
    }

    fn done(&self, step: Step, what: impl Into<String>) {
        let what = what.into();
        (self.tell)(Told::Done { step, what });
    }

    async fn look(&self) -> Result<Survey, Fault> {
        let ran = self.server.run(survey::SCRIPT, nothing(), SHORT).await?;
        Ok(Survey::read(&ran.done("looking at the server")?))
    }

    async fn docker(&self, survey: &Survey) -> Result<(), Fault> {
        let word = |missing: bool| if missing { "missing" } else { "there" };
        let (major, minor) = compose::OLDEST;
        let script = format!(
            "engine={} compose={} oldest={major}.{minor}\n{DOCKER}",
            word(survey.engine == Part::Missing),
            word(survey.lacks_compose())
        );
        let ran = self.server.run(&script, nothing(), PACKAGES).await?;
        if ran.code == 3 {
            self.done(Step::Docker, installed(&ran.out));
            (self.tell)(Told::Warning {
                step: Step::Docker,
                what: format!("{} has no package of Compose {major}.{minor} or newer", survey.name()),
                hint: "install docker-compose-plugin from Docker's own archive: https://docs.docker.com/engine/install".to_owned(),
            });
            return Ok(());
        }
        let out = ran.done("installing Docker")?;
        self.done(Step::Docker, installed(&out));
        Ok(())
    }

    async fn agent(&self, binary: &Agent, survey: &Survey) -> Result<(), Fault> {
        for (name, text) in [
            ("install.sh", INSTALL),
            ("launch", LAUNCH),
            (UNIT_NAME, UNIT),
        ] {
            self.send(name, Box::new(text.as_bytes()), &digest(text))
                .await?;
        }
        let sha256 = binary.sha256.to_string();
        let there = survey.has_agent(&sha256);
        let agent = if there {
            "/usr/local/bin/agent".to_owned()
        } else {
            let file = tokio::fs::File::open(&binary.path).await.map_err(|error| {
                let what = format!("cannot read {}", binary.path.display());
                Fault::new(FaultKind::Failed, what).because(&error)
            })?;
            self.send("agent", Box::new(file), &sha256).await?;
            format!("{INCOMING}/agent")
        };
        let script = format!(
            "sh {INCOMING}/install.sh {agent} {}\ncode=$?\nrm -rf {INCOMING}\nexit $code",
            quoted(&sha256)
        );
        let ran = self.server.run(&script, nothing(), SHORT).await?;
        ran.done("installing the agent")?;
        let version = &binary.version;
        let done = if there {
            format!("the unit file and the launcher are those of {version}")
        } else {
            format!("{version} sent and installed")
        };
        self.done(Step::Agent, done);
        Ok(())
    }

    /// Sends one file beside its place; only a whole one gets its name.
    async fn send(
        &self,
        name: &str,
        content: server::Input<'_>,
        sha256: &str,
    ) -> Result<(), Fault> {
        let script = format!(
            "mkdir -p {INCOMING} && chmod 0700 {INCOMING} || exit\n\
             trap 'rm -f {INCOMING}/{name}.part' EXIT\n\
             cat >{INCOMING}/{name}.part || exit\n\
             found=$(sha256sum <{INCOMING}/{name}.part) || exit\n\
             [ \"${{found%% *}}\" = {sha256} ] || {{ echo 'what arrived is not what was sent' >&2; exit 1; }}\n\
             mv {INCOMING}/{name}.part {INCOMING}/{name}"
        );
        let ran = self.server.run(&script, content, UPLOAD).await?;
        ran.done(&format!("sending {name}")).map(drop)
    }

    async fn identity(&self) -> Result<(), Fault> {
        let host = quoted(self.wish.host.as_str());
        let script = format!("/usr/local/bin/agent enroll --name {host}");
        let ran = self.server.run(&script, nothing(), SHORT).await?;
        let request = ran.done("making the host's key")?;
        let grant = self.office.sign(&request)?;
        let accept = "/usr/local/bin/agent accept";
        let ran = self
            .server
            .run(accept, Box::new(grant.as_bytes()), SHORT)
            .await?;
        ran.done("installing the host's certificate")?;
        let Wish { fleet, host, .. } = self.wish;
        self.done(Step::Identity, format!("longshore://{fleet}/host/{host}"));
        Ok(())
    }

    async fn service(&self) -> Result<(), Fault> {
        let script = format!(
            "systemctl reset-failed {UNIT_NAME} 2>/dev/null\n\
             systemctl enable --quiet {UNIT_NAME} && systemctl restart {UNIT_NAME}"
        );
        let ran = self.server.run(&script, nothing(), SHORT).await?;
        ran.done("starting the agent")?;
        self.done(Step::Service, format!("{UNIT_NAME} is started"));
        Ok(())
    }

    /// The agent may still be starting; a firewall never opens by itself, but looks the same for a while.
    async fn link(&self, survey: &Survey) -> Result<Outcome, Fault> {
        let end = Instant::now()
            + if survey.systemd {
                PROOF
            } else {
                Duration::ZERO
            };
        loop {
            match self.office.prove().await {
                Ok(facts) => {
                    self.done(
                        Step::Link,
                        format!("{} answers as {}", self.wish.address, facts.host),
                    );
                    self.components(&facts);
                    return Ok(Outcome::Ready(Box::new(facts)));
                }
                Err(fault) if fault.kind == FaultKind::Unreachable && Instant::now() < end => {
                    sleep(PROOF_PAUSE).await;
                }
                Err(fault) if fault.kind == FaultKind::Unreachable && !survey.systemd => {
                    (self.tell)(Told::Warning {
                        step: Step::Link,
                        what: format!(
                            "there is no systemd on {}, so nothing has started the agent",
                            self.wish.host
                        ),
                        hint: format!("start it there: {FOREGROUND}"),
                    });
                    return Ok(Outcome::NotStarted);
                }
                Err(fault) => return Err(self.explained(fault, survey).await),
            }
        }
    }

    /// An agent that runs behind a firewall is another trouble than one that does not.
    async fn explained(&self, fault: Fault, survey: &Survey) -> Fault {
        if !survey.systemd {
            return fault;
        }
        let script = format!(
            "systemctl is-active {UNIT_NAME}\njournalctl -u {UNIT_NAME} -n 12 -o cat --no-pager 2>/dev/null"
        );
        let Ok(ran) = self.server.run(&script, nothing(), SHORT).await else {
            return fault;
        };
        let mut lines = ran.out.lines();
        if lines.next() == Some("active") && fault.kind == FaultKind::Unreachable {
            return fault
                .cause("the agent runs there")
                .hint("let the port through the firewall, or set transport = \"ssh\" for this host in fleet.toml");
        }
        fault.output(lines.map(str::to_owned))
    }

    fn components(&self, facts: &HostFacts) {
        for (name, found) in [("Docker", &facts.engine), ("Compose", &facts.compose)] {
            if let Err(why) = found {
                (self.tell)(Told::Warning {
                    step: Step::Docker,
                    what: format!("{name} cannot be used on {}: {why}", self.wish.host),
                    hint: format!("controller host add {} --install-docker", self.wish.host),
                });
            }
        }
    }
}

fn installed(out: &str) -> String {
    match out.trim() {
        "" => "nothing to install".to_owned(),
        packages => format!("{packages} installed"),
    }
}

fn digest(text: &str) -> String {
    use sha2::Digest as _;
    crate::pki::hex(&sha2::Sha256::digest(text))
}
