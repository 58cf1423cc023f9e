//! Looks for what is not as it should be on this host, and tells what mends it. Changes nothing.

use proto::check::{Checkup, Finding};
use proto::event::EventKind;
use proto::fault::Fault;
use proto::id::{HostName, StackName};

use self::compare::{Difference, Mend, differences};
use super::Deployer;
use crate::engine::EngineError;
use crate::store::Revision;
use crate::{clock, deploy, journal};

mod compare;

/// Less room than this ends deploys, and soon more than deploys.
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;

impl Deployer {
    /// What is wrong on this host, which callers know as `host`: in general, and of these stacks or of all.
    pub async fn check(&self, host: &HostName, only: &[StackName]) -> Checkup {
        let mut findings = self.check_host(host).await;
        // The engine is what it is all the same.
        let engine_is_well = findings.is_empty();
        findings.extend(self.store.newer().map(|newer| {
            let Fault {
                what,
                causes,
                hints,
                ..
            } = newer.fault();
            Finding {
                stack: None,
                what,
                why: causes.join("; "),
                mend: format!("on {host}: {}", hints.join("; ")),
            }
        }));
        match self.store.stacks() {
            Ok(mut stacks) => {
                stacks.retain(|stack| only.is_empty() || only.contains(stack));
                // Without an engine there is nothing to compare with.
                let engine = engine_is_well || self.engine.facts().await.is_ok();
                for stack in stacks {
                    if self.running(&stack).is_none() {
                        findings.extend(self.check_stack(host, stack, engine).await);
                    }
                }
            }
            Err(error) => findings.push(Finding {
                stack: None,
                what: "the records of this host cannot be read".to_owned(),
                why: Fault::from(error).to_string(),
                mend: format!("on {host}, look after the disk: journalctl -u longshore-agent"),
            }),
        }
        Checkup {
            findings,
            now_millis: clock::unix_millis(),
        }
    }

    async fn check_host(&self, host: &HostName) -> Vec<Finding> {
        let (facts, compose, disk) = tokio::join!(
            self.engine.facts(),
            self.engine.compose_version(),
            self.engine.disk()
        );
        let mut findings = Vec::new();
        let mut unusable = |what: &str, error: EngineError, mend: String| {
            findings.push(Finding {
                stack: None,
                what: what.to_owned(),
                why: error.to_string(),
                mend,
            });
        };
        let engine = facts.is_ok();
        if let Err(error) = facts {
            let mend = format!("on {host}: systemctl start docker");
            unusable("Docker cannot be used", error, mend);
        }
        if let Err(error) = compose {
            let mend = format!("on {host}: apt-get install docker-compose-plugin");
            unusable("Docker Compose cannot be used", error, mend);
        }
        match disk {
            Ok(disk) if disk.free < LITTLE_ROOM => findings.push(Finding {
                stack: None,
                what: "the disk for images is nearly full".to_owned(),
                why: format!("{} MiB are free in {}", disk.free >> 20, disk.path),
                mend: format!("on {host}: docker system prune"),
            }),
            Err(error) if engine => {
                let mend = format!("on {host}: docker info");
                findings.push(Finding {
                    stack: None,
                    what: "the room for images is not known".to_owned(),
                    why: error.to_string(),
                    mend,
                });
            }
            _ => {}
        }
        findings
    }

    async fn check_stack(&self, host: &HostName, stack: StackName, engine: bool) -> Vec<Finding> {
        let finding = |what: String, why: String, mend: String| Finding {
            stack: Some(stack.clone()),
            what,
            why,
            mend,
        };
        let current = match self.store.current(&stack) {
            Ok(current) => current,
            Err(error) => {
                let what = "the record of the current revision is damaged".to_owned();
                let mend = format!(
                    "on {host}, move that file away; then: controller deploy {host}/{stack}"
                );
                return vec![finding(what, Fault::from(error).to_string(), mend)];
            }
        };
        let mut findings = Vec::new();
        if let Some(fault) = self.left_unknown(&stack) {
            let what = "what runs is unknown and needs to be reconciled".to_owned();
            let why = format!("the last deploy: {}", fault.what);
            let mend = match &current {
                Some(current) => restore(host, current),
                None => format!("controller down {host}/{stack}, then deploy it again"),
            };
            findings.push(finding(what, why, mend));
        }
        let Some(current) = current.filter(|_| engine) else {
            return findings;
        };
        match self.engine.containers(&current.spec.project).await {
            Ok(containers) => {
                let told = differences(&current, &containers);
                findings.extend(told.into_iter().map(|difference| {
                    let Difference { what, why, mend } = difference;
                    let mend = match mend {
                        Mend::Restore => restore(host, &current),
                        Mend::Deploy => format!("controller deploy {host}/{stack}"),
                        Mend::RemoveOrphans => {
                            format!("controller deploy {host}/{stack} --remove-orphans")
                        }
                        Mend::Read(service) => {
                            format!("controller logs {host}/{stack}/{service} --tail 50")
                        }
                    };
                    finding(what, why, mend)
                }));
            }
            Err(error) => findings.push(finding(
                "its containers cannot be listed".to_owned(),
                error.to_string(),
                format!("controller doctor {host}/{stack}"),
            )),
        }
        findings
    }

    /// Why what runs may be no revision: the last deploy ended without knowing, or without bringing the stack back.
    pub(super) fn left_unknown(&self, stack: &StackName) -> Option<Fault> {
        let deploy = self.store.latest_deploy(stack).ok().flatten()?;
        let last = journal::last_event(&self.store.deploy_folder(&deploy));
        match last.ok().flatten()?.kind {
            EventKind::Finished {
                fault: Some(fault), ..
            } if deploy::neither(&fault) => Some(fault),
            _ => None,
        }
    }
}

/// Makes the host again what the revision says.
fn restore(host: &HostName, revision: &Revision) -> String {
    let (stack, id) = (&revision.spec.stack, revision.id.short());
    format!("controller rollback {host}/{stack} --to {id}")
}
