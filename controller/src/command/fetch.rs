//! Brings what hooks have printed to this workstation, beside following their deploy.

use std::collections::BTreeMap;

use proto::event::EventKind;
use proto::fault::{Fault, FaultKind};
use proto::hook::Saved;
use proto::id::{DeployId, ServiceName};
use tokio::sync::mpsc;

use crate::event::Own;
use crate::fleet_run::Reporter;
use crate::link::{Link, Patience, SavedOf};
use crate::shelf::{Incoming, Kept, Shelf, find};

/// An output that lies ready on a host.
pub(super) struct Ready {
    deploy: DeployId,
    hook: u32,
    service: ServiceName,
    saved: Saved,
}

/// Notices outputs among a deploy's events.
#[derive(Default)]
pub(super) struct Notice {
    deploy: Option<DeployId>,
    services: BTreeMap<u32, ServiceName>,
}

impl Notice {
    /// What lies ready since this event.
    pub(super) fn take(&mut self, kind: &EventKind) -> Option<Ready> {
        match kind {
            EventKind::Received { deploy, .. } => self.deploy = Some(*deploy),
            EventKind::HookStarted { hook, service, .. } => {
                self.services.insert(*hook, service.clone());
            }
            EventKind::HookFinished {
                hook,
                saved: Some(saved),
                ..
            } if saved.file.is_none() => {
                return Some(Ready {
                    deploy: self.deploy?,
                    hook: *hook,
                    service: self.services.get(hook)?.clone(),
                    saved: Saved::clone(saved),
                });
            }
            _ => {}
        }
        None
    }
}

/// Fetches one after the other, and reports where each lies.
pub(super) async fn all(
    mut ready: mpsc::Receiver<Ready>,
    link: &Link,
    shelf: &Shelf,
    patience: Patience,
    reporter: &Reporter,
) {
    while let Some(one) = ready.recv().await {
        let (hook, size) = (one.hook, one.saved.size);
        let own = match fetch(one, link, shelf, patience).await {
            Ok(Kept { path, before }) => Own::Fetched {
                hook,
                size,
                file: path.display().to_string(),
                before,
            },
            Err(fault) => Own::NotFetched { hook, fault },
        };
        reporter.own(own).await;
    }
}

async fn fetch(one: Ready, link: &Link, shelf: &Shelf, patience: Patience) -> Result<Kept, Fault> {
    let Ready {
        deploy,
        hook,
        service,
        saved,
    } = one;
    let target = shelf.file(hook, &service, &saved)?;
    let found = find(&target, &saved).map_err(|error| {
        let what = format!("cannot read {}", target.display());
        Fault::new(FaultKind::Failed, what).because(&error)
    })?;
    if let Some(path) = found {
        return Ok(Kept { path, before: true });
    }
    let mut incoming = Incoming::open(target)?;
    let of = SavedOf {
        deploy,
        hook,
        size: saved.size,
    };
    let mut take = |bytes: &[u8]| incoming.write(bytes);
    link.saved(of, patience, &mut take).await?;
    let path = incoming.finish(&saved)?;
    Ok(Kept {
        path,
        before: false,
    })
}
