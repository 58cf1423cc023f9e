//! A project that somebody started by hand: whose it is, whether it can be taken over, and what stays as it is then.

use std::collections::BTreeMap;
use std::path::Path;

use proto::fault::{Fault, FaultKind};
use proto::id::{ProjectName, ServiceName};
use proto::path::{HostDir, RelPath};
use proto::plan::{Adoption, FieldChange, FilePlan};

use super::{Inputs, fields};
use crate::engine::Container;
use crate::resolved::ResolvedService;
use crate::store::{Revision, Stage};

const DOWN: &str =
    "or take it down first (docker compose down), or give the stack another project_name";

/// What a takeover is planned with.
pub struct Adopted<'a> {
    /// What was found running.
    pub found: &'a Revision,
    /// Compose's hash of each wanted service: whose containers carry it stays.
    pub hashes: &'a BTreeMap<ServiceName, String>,
}

/// How a project was started.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// In merge order.
    pub compose_files: Vec<RelPath>,
    /// Those that were named; none: Compose's own `.env`.
    pub env_files: Vec<RelPath>,
}

/// Refuses a project that runs and that this agent did not start.
///
/// # Errors
/// When the containers belong to somebody else.
pub fn check_owner(ours: bool, stage: &Stage, containers: &[Container]) -> Result<(), Fault> {
    let Some(container) = containers.iter().find(|it| !ours && !it.one_off) else {
        return Ok(());
    };
    let what = format!(
        "a project named {} already runs here and was not started by longshore",
        stage.spec.project
    );
    let mut fault =
        Fault::new(FaultKind::Refused, what).cause(format!("container {} exists", container.name));
    let from = &container.working_dir;
    if !from.is_empty() {
        fault = fault.cause(format!("it was started from {from}"));
    }
    fault = if Path::new(from) == stage.project_directory() {
        fault.hint("take it over as it runs: controller deploy --adopt")
    } else {
        match dir_line(stage, from) {
            Some(line) => fault
                .hint(format!("it can be taken over where it is: give its host this line in fleet.toml: {line}"))
                .hint("then: controller deploy --adopt"),
            None => fault,
        }
    };
    Err(fault.hint(DOWN))
}

/// What `fleet.toml` needs so that the stack lives where the project runs.
fn dir_line(stage: &Stage, from: &str) -> Option<String> {
    // Where it runs may be a folder of the stack; its line names the stack's.
    let mut folder = Path::new(from);
    if let Some(below) = &stage.spec.folder {
        folder = Path::new(from.strip_suffix(below.as_str())?);
    }
    let folder = folder.components().as_path().to_str()?;
    folder.parse::<HostDir>().ok()?;
    let quoted = folder.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("dir = {{ {} = \"{quoted}\" }}", stage.spec.stack))
}

/// From what the containers of a project were started, when a takeover would not move anything.
///
/// # Errors
/// When they were started from elsewhere, from several folders, or from files outside their folder.
pub fn origin(stage: &Stage, containers: &[Container]) -> Result<Origin, Fault> {
    let project = &stage.spec.project;
    let own: Vec<&Container> = containers.iter().filter(|it| !it.one_off).collect();
    check_folder(stage, &own)?;
    // One that was started later was started from what counts now.
    let newest = own.iter().max_by_key(|it| it.started_at_millis);
    let (files, env_files) = newest
        .map(|it| (it.config_files.as_slice(), it.env_files.as_slice()))
        .unwrap_or_default();
    if files.is_empty() {
        return Err(not_from_files(
            project,
            "its containers do not say from which files",
        ));
    }
    let inside = |file: &String| {
        let path = stage.project_directory().join(file);
        let path = path.strip_prefix(&stage.directory).ok();
        let path = path
            .and_then(Path::to_str)
            .and_then(|path| path.parse().ok());
        path.ok_or_else(|| {
            let why = format!("it was started from {file}, outside its folder");
            not_from_files(project, &why)
        })
    };
    Ok(Origin {
        compose_files: files.iter().map(inside).collect::<Result<_, _>>()?,
        env_files: env_files.iter().map(inside).collect::<Result<_, _>>()?,
    })
}

/// Relative binds hold data: the folder stays where it is.
fn check_folder(stage: &Stage, containers: &[&Container]) -> Result<(), Fault> {
    let project = &stage.spec.project;
    let folders: BTreeMap<&str, &str> = containers
        .iter()
        .map(|it| (it.working_dir.as_str(), it.name.as_str()))
        .collect();
    let mut folders = folders.into_iter();
    match (folders.next(), folders.next()) {
        (Some((from, _)), None) if Path::new(from) == stage.project_directory() => Ok(()),
        (Some(("", _)), None) => Err(not_from_files(
            project,
            "its containers do not say from which folder",
        )),
        (Some((from, _)), None) => {
            let what = format!(
                "project {project} runs from {from}, and stack {} would live in {}",
                stage.spec.stack,
                stage.project_directory().display()
            );
            let fault = Fault::new(FaultKind::Refused, what)
                .cause("a takeover would move what its relative paths name");
            let line = dir_line(stage, from);
            let hint = line.map(|line| format!("give its host this line in fleet.toml: {line}"));
            Err(hint.into_iter().fold(fault, Fault::hint).hint(DOWN))
        }
        (Some(first), Some(second)) => {
            let what =
                format!("the containers of project {project} were started from several folders");
            let fault = [first, second].into_iter().chain(folders).fold(
                Fault::new(FaultKind::Refused, what),
                |fault, (from, name)| fault.cause(format!("{name} from {from}")),
            );
            Err(fault.hint("start all of it from one folder (docker compose up -d), then adopt it"))
        }
        (None, _) => Ok(()),
    }
}

fn not_from_files(project: &ProjectName, why: &str) -> Fault {
    let what = format!("project {project} cannot be taken over: there would be no way back");
    Fault::new(FaultKind::Refused, what)
        .cause(why)
        .hint("take it down (docker compose down), then deploy: named volumes stay")
}

impl Adopted<'_> {
    /// What the plan tells of it.
    pub(super) fn told(&self) -> Adoption {
        Adoption {
            directory: self.found.directory.display().to_string(),
            inexact: self.inexact().cloned().collect(),
        }
    }

    /// The services that would not come back as they run.
    fn inexact(&self) -> impl Iterator<Item = &ServiceName> {
        self.found.found.iter().flat_map(|found| &found.inexact)
    }

    /// The files that look different to whoever mounts them: a mode alone starts nothing anew.
    pub(super) fn looks_changed(&self, inputs: &Inputs<'_>, file: &FilePlan) -> bool {
        let here = self.found.spec.files.iter().find(|it| it.path == file.path);
        let wanted = inputs
            .stage
            .spec
            .files
            .iter()
            .find(|it| it.path == file.path);
        here.map(|it| it.blob) != wanted.map(|it| it.blob)
    }

    /// Why Compose would make a service's containers anew: what differs, or a sentence; nothing when it would leave them.
    pub(super) fn changed(
        &self,
        service: &ResolvedService,
        containers: &[&Container],
        fields: &mut Vec<FieldChange>,
    ) -> Vec<String> {
        let wanted = self.hashes.get(&service.name);
        if containers.iter().all(|it| Some(&it.config_hash) == wanted) {
            return Vec::new();
        }
        let exact = self.inexact().all(|name| *name != service.name);
        let old = self.found.resolved.service(&service.name);
        if let Some(old) = old.filter(|old| exact && old.marks != service.marks) {
            fields.extend(fields::changed(old, service));
            return Vec::new();
        }
        vec![
            "Compose would make it anew: it was started with other settings, or by another version of Compose"
                .to_owned(),
        ]
    }

    /// What the operator should know before.
    pub(super) fn warning(&self) -> Option<String> {
        let names: Vec<&str> = self.inexact().map(ServiceName::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "going back may not bring back exactly as it runs now: {}; the files here and the values of this \
                 deploy are not what it was started with",
                names.join(", ")
            )
        })
    }
}
