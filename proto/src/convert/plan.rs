//! Plans.

use std::collections::BTreeSet;

use super::{
    FromNumber, InvalidMessage, enum_map, into_all, optional, parse, parse_all, text, texts, wire,
};
use crate::id::ServiceName;
use crate::plan::{
    Action, Adoption, Change, Disk, Downtime, FieldChange, FilePlan, HostFile, ImagePlan,
    OrphanPlan, Part, Plan, Scope, ServicePlan,
};

enum_map!("action", Action, wire::Action, {
    Create = Create,
    Recreate = Recreate,
    Start = Start,
    Keep = Keep,
    Remove = Remove,
});

enum_map!("host file", HostFile, wire::HostFile, {
    AsLaidOut = AsLaidOut,
    Changed = Changed,
    Gone = Gone,
});
enum_map!("change", Change, wire::Change, {
    Added = Added,
    Changed = Changed,
    Removed = Removed,
});

impl From<Plan> for wire::Plan {
    fn from(plan: Plan) -> Self {
        let Plan {
            id,
            stack,
            project,
            base,
            expires_in,
            services,
            images,
            files,
            orphans,
            kept_files,
            warnings,
            project_directory,
            part,
            disk,
            notes,
            hooks,
            adoption,
        } = plan;
        Self {
            plan: id.to_string(),
            stack: stack.into(),
            project: project.into(),
            base: text(base),
            expires_in,
            services: services.into_iter().map(Into::into).collect(),
            images: images.into_iter().map(Into::into).collect(),
            files: files.into_iter().map(Into::into).collect(),
            orphans: orphans.into_iter().map(Into::into).collect(),
            kept_files: texts(kept_files),
            warnings,
            project_directory,
            part: part.map(Into::into),
            disk: disk.map(Into::into),
            notes,
            hooks: hooks.into_iter().map(Into::into).collect(),
            adoption: adoption.map(Into::into),
        }
    }
}

impl TryFrom<wire::Plan> for Plan {
    type Error = InvalidMessage;
    fn try_from(message: wire::Plan) -> Result<Self, InvalidMessage> {
        let wire::Plan {
            plan,
            stack,
            project,
            base,
            expires_in,
            services,
            images,
            files,
            orphans,
            kept_files,
            warnings,
            project_directory,
            part,
            disk,
            notes,
            hooks,
            adoption,
        } = message;
        Ok(Self {
            id: parse(&plan)?,
            stack: parse(&stack)?,
            project: parse(&project)?,
            base: optional(&base)?,
            expires_in,
            services: into_all(services)?,
            images: into_all(images)?,
            files: into_all(files)?,
            orphans: into_all(orphans)?,
            kept_files: parse_all(kept_files)?,
            warnings,
            project_directory,
            part: part.map(TryInto::try_into).transpose()?,
            disk: disk.map(Into::into),
            notes,
            hooks: into_all(hooks)?,
            adoption: adoption.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<Adoption> for wire::Adoption {
    fn from(adoption: Adoption) -> Self {
        let Adoption { directory, inexact } = adoption;
        Self {
            directory,
            inexact: inexact.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Adoption> for Adoption {
    type Error = InvalidMessage;
    fn try_from(message: wire::Adoption) -> Result<Self, InvalidMessage> {
        let wire::Adoption { directory, inexact } = message;
        Ok(Self {
            directory,
            inexact: set(inexact)?,
        })
    }
}

impl From<Disk> for wire::Disk {
    fn from(disk: Disk) -> Self {
        let Disk { path, free } = disk;
        Self { path, free }
    }
}

impl From<wire::Disk> for Disk {
    fn from(message: wire::Disk) -> Self {
        let wire::Disk { path, free } = message;
        Self { path, free }
    }
}

impl From<Part> for wire::Part {
    fn from(part: Part) -> Self {
        let Part { named, needed } = part;
        Self {
            named: named.into_iter().map(Into::into).collect(),
            needed: needed.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Part> for Part {
    type Error = InvalidMessage;
    fn try_from(message: wire::Part) -> Result<Self, InvalidMessage> {
        let wire::Part { named, needed } = message;
        if named.is_empty() {
            return Err(InvalidMessage::missing("what a part of a stack is"));
        }
        Ok(Self {
            named: set(named)?,
            needed: set(needed)?,
        })
    }
}

fn set(names: Vec<String>) -> Result<BTreeSet<ServiceName>, InvalidMessage> {
    Ok(parse_all::<ServiceName>(names)?.into_iter().collect())
}

/// The fields `services` and `no_deps` of a request for a plan.
#[must_use]
pub fn scope_to_wire(scope: Scope) -> (Vec<String>, bool) {
    let (services, no_deps) = match scope {
        Scope::Whole => return (Vec::new(), false),
        Scope::WithDependencies(services) => (services, false),
        Scope::Alone(services) => (services, true),
    };
    (services.into_iter().map(Into::into).collect(), no_deps)
}

/// Reads the fields `services` and `no_deps` of a request for a plan.
///
/// # Errors
/// When a name is none, or nothing is named that could go without what it depends on.
pub fn scope_from_wire(services: Vec<String>, no_deps: bool) -> Result<Scope, InvalidMessage> {
    match (set(services)?, no_deps) {
        (services, false) if services.is_empty() => Ok(Scope::Whole),
        (services, true) if services.is_empty() => {
            Err(InvalidMessage::missing("a service to plan without others"))
        }
        (services, false) => Ok(Scope::WithDependencies(services)),
        (services, true) => Ok(Scope::Alone(services)),
    }
}

impl From<ServicePlan> for wire::ServicePlan {
    fn from(plan: ServicePlan) -> Self {
        let ServicePlan {
            service,
            action,
            reasons,
            replicas,
            fields,
            downtime,
        } = plan;
        let action = wire::Action::from(action).into();
        Self {
            service: service.into(),
            action,
            reasons,
            replicas,
            fields: fields.into_iter().map(Into::into).collect(),
            downtime: downtime.map(Into::into),
        }
    }
}

impl TryFrom<wire::ServicePlan> for ServicePlan {
    type Error = InvalidMessage;
    fn try_from(message: wire::ServicePlan) -> Result<Self, InvalidMessage> {
        let wire::ServicePlan {
            service,
            action,
            reasons,
            replicas,
            fields,
            downtime,
        } = message;
        let action = Action::from_number(action)?;
        Ok(Self {
            service: parse(&service)?,
            action,
            reasons,
            replicas,
            fields: into_all(fields)?,
            downtime: downtime.map(Into::into),
        })
    }
}

impl From<Downtime> for wire::Downtime {
    fn from(downtime: Downtime) -> Self {
        let Downtime { millis, with_stop } = downtime;
        Self { millis, with_stop }
    }
}

impl From<wire::Downtime> for Downtime {
    fn from(message: wire::Downtime) -> Self {
        let wire::Downtime { millis, with_stop } = message;
        Self { millis, with_stop }
    }
}

impl From<FieldChange> for wire::FieldChange {
    fn from(field: FieldChange) -> Self {
        let FieldChange {
            name,
            change,
            before,
            after,
        } = field;
        Self {
            name,
            change: wire::Change::from(change).into(),
            before,
            after,
        }
    }
}

impl TryFrom<wire::FieldChange> for FieldChange {
    type Error = InvalidMessage;
    fn try_from(message: wire::FieldChange) -> Result<Self, InvalidMessage> {
        let wire::FieldChange {
            name,
            change,
            before,
            after,
        } = message;
        Ok(Self {
            name,
            change: Change::from_number(change)?,
            before,
            after,
        })
    }
}

impl From<ImagePlan> for wire::ImagePlan {
    fn from(plan: ImagePlan) -> Self {
        let ImagePlan {
            reference,
            digest,
            pull,
            services,
            before,
            bytes,
            platform,
            unasked,
        } = plan;
        Self {
            reference,
            digest: digest.unwrap_or_default(),
            pull,
            services: texts(services),
            before: before.unwrap_or_default(),
            bytes,
            platform: platform.unwrap_or_default(),
            unasked: unasked.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::ImagePlan> for ImagePlan {
    type Error = InvalidMessage;
    fn try_from(message: wire::ImagePlan) -> Result<Self, InvalidMessage> {
        let wire::ImagePlan {
            reference,
            digest,
            pull,
            services,
            before,
            bytes,
            platform,
            unasked,
        } = message;
        let named = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self {
            reference,
            digest: named(digest),
            pull,
            services: parse_all(services)?,
            before: named(before),
            bytes,
            platform: named(platform),
            unasked: named(unasked),
        })
    }
}

impl From<FilePlan> for wire::FilePlan {
    fn from(plan: FilePlan) -> Self {
        let FilePlan { path, change, host } = plan;
        Self {
            path: path.into(),
            change: wire::Change::from(change).into(),
            host: wire::HostFile::from(host).into(),
        }
    }
}

impl TryFrom<wire::FilePlan> for FilePlan {
    type Error = InvalidMessage;
    fn try_from(message: wire::FilePlan) -> Result<Self, InvalidMessage> {
        let wire::FilePlan { path, change, host } = message;
        Ok(Self {
            path: parse(&path)?,
            change: Change::from_number(change)?,
            host: match host {
                0 => HostFile::default(),
                number => HostFile::from_number(number)?,
            },
        })
    }
}

impl From<OrphanPlan> for wire::OrphanPlan {
    fn from(plan: OrphanPlan) -> Self {
        let OrphanPlan {
            container,
            service,
            in_the_way,
        } = plan;
        Self {
            container,
            service: service.into(),
            in_the_way,
        }
    }
}

impl TryFrom<wire::OrphanPlan> for OrphanPlan {
    type Error = InvalidMessage;
    fn try_from(message: wire::OrphanPlan) -> Result<Self, InvalidMessage> {
        let wire::OrphanPlan {
            container,
            service,
            in_the_way,
        } = message;
        Ok(Self {
            container,
            service: parse(&service)?,
            in_the_way,
        })
    }
}
