//! Whether a plan still is what was agreed to, and in what it is not.

use std::collections::BTreeMap;

use super::{FilePlan, ImagePlan, OrphanPlan, Plan, ServicePlan};

impl Plan {
    /// In what this plan would do something else than an earlier one for the same place, in words; what they start
    /// from is not compared. Estimates and warnings may differ, and so may what has been fetched meanwhile.
    #[must_use]
    pub fn differs_from(&self, agreed: &Self) -> Vec<String> {
        let Self {
            id: _,
            stack,
            project,
            base: _,
            part,
            expires_in: _,
            services,
            images,
            files,
            kept_files: _,
            orphans,
            warnings: _,
            notes: _,
            project_directory,
            disk: _,
            hooks,
            adoption,
        } = self;
        let mut all = Vec::new();
        let mut other = |same: bool, what: &str| {
            if !same {
                all.push(what.to_owned());
            }
        };
        other(*stack == agreed.stack, "it is another stack");
        other(*project == agreed.project, "it is another project");
        other(*part == agreed.part, "it is about other services");
        other(
            *project_directory == agreed.project_directory,
            "it lives in another folder",
        );
        other(*hooks == agreed.hooks, "other hooks run before or after it");
        other(*adoption == agreed.adoption, "it takes over something else");
        let service = |one: &ServicePlan| {
            let (action, replicas) = (one.action, one.replicas);
            let why = (one.fields.clone(), one.reasons.clone());
            (format!("service {}", one.service), (action, replicas, why))
        };
        compare(services, &agreed.services, service, &mut all);
        // What is fetched already need not be fetched, and is the same for that.
        let image = |one: &ImagePlan| {
            let content = (one.digest.clone(), one.services.clone());
            (format!("image {}", one.reference), content)
        };
        compare(images, &agreed.images, image, &mut all);
        let file = |one: &FilePlan| (format!("file {}", one.path), (one.change, one.host));
        compare(files, &agreed.files, file, &mut all);
        let orphan = |one: &OrphanPlan| (format!("orphan {}", one.container), one.service.clone());
        compare(orphans, &agreed.orphans, orphan, &mut all);
        all
    }
}

/// Names what is only in one of them, or in both and not the same.
fn compare<T, C: PartialEq>(
    now: &[T],
    agreed: &[T],
    key: impl Fn(&T) -> (String, C),
    all: &mut Vec<String>,
) {
    let mut before: BTreeMap<String, C> = agreed.iter().map(&key).collect();
    for (name, content) in now.iter().map(&key) {
        match before.remove(&name) {
            None => all.push(format!("{name} was not in the plan")),
            Some(old) if old != content => all.push(format!("{name} is planned otherwise now")),
            Some(_) => {}
        }
    }
    let gone = before.into_keys();
    all.extend(gone.map(|name| format!("{name} is no longer in the plan")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PlanId;
    use crate::plan::HostFile;
    use crate::plan::{Action, Change, Downtime};

    fn plan() -> Plan {
        Plan {
            id: PlanId::from_bytes([1; 16]),
            stack: "opq".parse().unwrap(),
            project: "opq".parse().unwrap(),
            base: None,
            part: None,
            expires_in: 3600,
            services: vec![ServicePlan {
                service: "web".parse().unwrap(),
                action: Action::Recreate,
                reasons: vec!["mounted file a changed".to_owned()],
                replicas: 1,
                fields: Vec::new(),
                downtime: None,
            }],
            images: vec![ImagePlan {
                reference: "org/web:1".to_owned(),
                digest: Some("sha256:one".to_owned()),
                pull: true,
                services: vec!["web".parse().unwrap()],
                bytes: Some(1),
                ..ImagePlan::default()
            }],
            files: vec![FilePlan {
                path: "a".parse().unwrap(),
                change: Change::Changed,
                host: HostFile::AsLaidOut,
            }],
            kept_files: Vec::new(),
            orphans: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            project_directory: "/p".to_owned(),
            disk: None,
            hooks: Vec::new(),
            adoption: None,
        }
    }

    #[test]
    fn estimates_and_what_was_fetched_meanwhile_are_no_difference() {
        let mut now = plan();
        now.id = PlanId::from_bytes([2; 16]);
        now.expires_in = 1;
        now.warnings.push("the registry is slow".to_owned());
        now.images[0].pull = false;
        now.images[0].bytes = None;
        now.services[0].downtime = Some(Downtime {
            millis: Some(1),
            with_stop: true,
        });
        assert_eq!(now.differs_from(&plan()), [""; 0]);
    }

    #[test]
    fn every_difference_is_named() {
        let mut now = plan();
        now.services[0].action = Action::Keep;
        now.images[0].digest = Some("sha256:two".to_owned());
        now.files.clear();
        now.orphans.push(OrphanPlan {
            container: "opq-old-1".to_owned(),
            service: "old".parse().unwrap(),
            in_the_way: Vec::new(),
        });
        now.project_directory = "/q".to_owned();
        assert_eq!(
            now.differs_from(&plan()),
            [
                "it lives in another folder",
                "service web is planned otherwise now",
                "image org/web:1 is planned otherwise now",
                "file a is no longer in the plan",
                "orphan opq-old-1 was not in the plan",
            ]
        );
    }
}
