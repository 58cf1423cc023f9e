//! A project that somebody started by hand, read as a revision that a deploy can go back to.
//!
//! Compose judges what is unchanged: its hash of each wanted service is compared with the label of what runs. The hash
//! is asked of the resolved configuration, with the paths of the project directory in it, because
//! `config --hash` over the files themselves leaves env files out (docker/compose#14001).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proto::event::{ContainerState, Health};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, RevisionId, ServiceName};
use proto::limits::BUNDLE_BYTES;
use proto::path::RelPath;
use proto::stack::{ShippedFile, StackSpec};
use serde_json::Value;

use crate::engine::{ComposeProject, Container, Engine, EngineError, Placeholders};
use crate::files;
use crate::planner::{self, Adopted};
use crate::projectdir::{ProjectDir, Taken};
use crate::redact::Redactor;
use crate::resolved::{self, ResolvedService, ResolvedStack, Restart, Values};
use crate::stage::{compose_project, lay_out};
use crate::store::{AsFound, ImagePin, Revision, Stage, Store};

/// Files beside the shipped ones are kept up to this size each: a bind may name a database.
const BESIDE: u64 = 1024 * 1024;

/// What was found, and what is wanted instead.
pub(super) struct Found {
    /// As it would be committed before anything is changed.
    pub(super) revision: Revision,
    /// Compose's hash of each wanted service.
    pub(super) hashes: BTreeMap<ServiceName, String>,
}

impl Found {
    /// As the planner wants it.
    pub(super) fn adopted(&self) -> Adopted<'_> {
        Adopted {
            found: &self.revision,
            hashes: &self.hashes,
        }
    }
}

/// Looks at a project that is to be taken over. Changes nothing but the store.
pub(super) async fn look(
    store: &Store,
    engine: &dyn Engine,
    stage: &Stage,
    containers: &[Container],
) -> Result<Found, Fault> {
    let own: Vec<&Container> = containers.iter().filter(|it| !it.one_off).collect();
    let (spec, mut beside) = started_from(store, stage, containers)?;
    let project = compose_project(&spec, &stage.directory);
    let config = engine.resolve(&project).await;
    let config = config.map_err(|error| unreadable(stage, error))?.config;
    beside.extend(named(store, engine, stage, &project, &beside).await?);
    let resolved = resolve(store, stage, &config, &own)?;
    let found_hashes = hashes(store, engine, &project, &config, &own).await?;
    let hashes = wanted_hashes(store, engine, stage, &own).await?;
    let images = images(engine, &resolved, &own).await?;
    let inexact = inexact(&resolved, &found_hashes, &images, &own);
    let unwell = unwell(&resolved, &own);
    let config_hashes: BTreeMap<_, _> = own
        .iter()
        .map(|it| (it.service.clone(), it.config_hash.clone()))
        .collect();
    let engine_version = engine.facts().await?.version;
    let parts = (&spec, &images, &config_hashes, &engine_version);
    let id = RevisionId::from_bytes(store.key().id("found", &parts));
    let revision = Revision {
        id,
        spec,
        resolved,
        images,
        config_hashes,
        older: BTreeMap::new(),
        ended: None,
        compose_version: stage.compose_version.clone(),
        engine_version,
        directory: stage.directory.clone(),
        deploy: nobodys(&id),
        operator: by_hand()?,
        committed_at_millis: 0,
        number: 1,
        took: BTreeMap::new(),
        found: Some(AsFound {
            inexact,
            unwell,
            beside,
        }),
    };
    Ok(Found { revision, hashes })
}

/// No deploy made it. The id is in no folder, so a history tells of the revision itself.
fn nobodys(id: &RevisionId) -> DeployId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.as_bytes()[..16]);
    DeployId::from_bytes(bytes)
}

/// Until it is known who takes it over.
fn by_hand() -> Result<OperatorName, Fault> {
    let name = "by-hand".parse();
    name.map_err(|error| Fault::new(FaultKind::Internal, format!("{error}")))
}

/// How Compose reads what the project was started from, and the files of it that the stack does not ship.
fn started_from(
    store: &Store,
    stage: &Stage,
    containers: &[Container],
) -> Result<(StackSpec, Vec<ShippedFile>), Fault> {
    let origin = planner::origin(stage, containers)?;
    if !stage.directory.is_dir() {
        return Err(gone(stage, "the folder itself"));
    }
    let folder = ProjectDir::open(&stage.directory)?;
    let mut files = Vec::new();
    for file in &stage.spec.files {
        files.extend(take(store, stage, &folder, &file.path)?);
    }
    let shipped = |path: &RelPath| stage.spec.files.iter().any(|file| file.path == *path);
    let by_default = origin.env_files.is_empty();
    let named = if by_default {
        default_env_file(stage)?
    } else {
        origin.env_files
    };
    let mut beside = Vec::new();
    let mut env_files = Vec::new();
    for path in &named {
        let there = files.iter().any(|file| file.path == *path);
        if !there && !shipped(path) {
            match take(store, stage, &folder, path)? {
                Some(file) => beside.push(file),
                None if by_default => continue,
                None => return Err(gone(stage, path.as_str())),
            }
        }
        if there || !shipped(path) {
            env_files.push(path.clone());
        }
    }
    for path in &origin.compose_files {
        let known = files.iter().chain(&beside);
        if known.into_iter().any(|file| file.path == *path) {
            continue;
        }
        let file = take(store, stage, &folder, path)?;
        beside.push(file.ok_or_else(|| gone(stage, path.as_str()))?);
    }
    let spec = StackSpec {
        compose_files: origin.compose_files,
        env_files,
        // Those that were active are not written anywhere; what runs tells.
        profiles: vec!["*".to_owned()],
        allow_undefined: Vec::new(),
        exclude: Vec::new(),
        hooks: Vec::new(),
        probes: Vec::new(),
        files,
        ..stage.spec.clone()
    };
    Ok((spec, beside))
}

/// Where Compose looks for a `.env` that nobody names: in the project's folder, or where `COMPOSE_FILE` was read.
fn default_env_file(stage: &Stage) -> Result<Vec<RelPath>, Fault> {
    let places = [stage.project_directory(), stage.directory.clone()];
    let there = places.iter().find(|place| place.join(".env").exists());
    let there = there.unwrap_or(&stage.directory).join(".env");
    let path = there.strip_prefix(&stage.directory).unwrap_or(&there);
    let path = path.to_string_lossy().parse();
    let path = path.map_err(|error| Fault::new(FaultKind::Internal, format!("{error}")))?;
    Ok(vec![path])
}

fn take(
    store: &Store,
    stage: &Stage,
    folder: &ProjectDir,
    path: &RelPath,
) -> Result<Option<ShippedFile>, Fault> {
    match folder.take(path, BUNDLE_BYTES, store.blobs())? {
        Taken::File(file) => Ok(Some(file)),
        Taken::Nothing => Ok(None),
        Taken::Other => {
            let what = format!(
                "{path} in {} is a link, a folder or too large, and could not be put back as it is",
                stage.directory.display()
            );
            Err(Fault::new(FaultKind::Refused, what).hint("make it a plain file, then adopt"))
        }
    }
}

fn gone(stage: &Stage, what: &str) -> Fault {
    let project = &stage.spec.project;
    let text = format!("project {project} cannot be taken over: there would be no way back");
    let cause = format!(
        "it was started from {what} in {}, which is not there any more",
        stage.directory.display()
    );
    let hint = "put it back, or take the project down (docker compose down), then deploy: named volumes stay";
    Fault::new(FaultKind::Refused, text).cause(cause).hint(hint)
}

fn unreadable(stage: &Stage, error: EngineError) -> Fault {
    let mut fault = Fault::from(error);
    fault.causes.push(format!(
        "it is what project {} was started from, in {}",
        stage.spec.project,
        stage.directory.display()
    ));
    let env = format!("[stacks.{}.env]", stage.spec.stack);
    fault.hint(format!(
        "values that it was started with can be given in {env} of fleet.toml"
    ))
}

/// Small files that the project names and that the stack does not ship: nobody touches them, but they may get lost.
async fn named(
    store: &Store,
    engine: &dyn Engine,
    stage: &Stage,
    project: &ComposeProject,
    known: &[ShippedFile],
) -> Result<Vec<ShippedFile>, Fault> {
    let paths = engine
        .named(project, Placeholders::none(&stage.directory))
        .await?
        .paths;
    let within = |path: &String| RelPath::resolve(stage.spec.folder.as_ref(), path);
    let paths = paths.iter().filter_map(|path| within(path).ok().flatten());
    let paths: BTreeSet<RelPath> = paths.collect();
    let folder = ProjectDir::open(&stage.directory)?;
    let mut files = Vec::new();
    for path in paths {
        let known = known.iter().chain(&stage.spec.files);
        if known.into_iter().any(|file| file.path == path) {
            continue;
        }
        if let Taken::File(file) = folder.take(&path, BESIDE, store.blobs())? {
            files.push(file);
        }
    }
    Ok(files)
}

/// The services that run; the files may know of others, which nobody started.
fn resolve(
    store: &Store,
    stage: &Stage,
    config: &Value,
    containers: &[&Container],
) -> Result<ResolvedStack, Fault> {
    let mut config = config.clone();
    let services = config.get_mut("services").and_then(Value::as_object_mut);
    let empty = &mut serde_json::Map::new();
    let services = services.unwrap_or(empty);
    services.retain(|name, _| containers.iter().any(|it| it.service.as_str() == name));
    for container in containers {
        // Built on the host: Compose names the image itself then.
        let service = services.get_mut(container.service.as_str());
        if let Some(service) = service.and_then(Value::as_object_mut) {
            let image = service.entry("image");
            image.or_insert_with(|| Value::from(container.image.as_str()));
        }
    }
    if services.is_empty() {
        return Err(gone(stage, "a file that has its services"));
    }
    let redactor = Redactor::new(&stage.spec.values);
    // What the contents were when it was started, nobody knows.
    let values = Values {
        spec: &stage.spec,
        host: &BTreeMap::new(),
    };
    let read = resolved::read(&config, &stage.directory, store.key(), &redactor, &values)?;
    Ok(without_contents(read))
}

fn without_contents(mut stack: ResolvedStack) -> ResolvedStack {
    for service in &mut stack.services {
        service.contents.clear();
    }
    stack
}

async fn wanted_hashes(
    store: &Store,
    engine: &dyn Engine,
    stage: &Stage,
    containers: &[&Container],
) -> Result<BTreeMap<ServiceName, String>, Fault> {
    let laid_out = lay_out(store, &stage.spec, &stage.spec.project)?;
    let project = compose_project(&stage.spec, laid_out.root());
    let mut config = engine.resolve(&project).await?.config;
    resolved::rewrite_prefix(&mut config, laid_out.root(), &stage.directory);
    let project = compose_project(&stage.spec, &stage.directory);
    hashes(store, engine, &project, &config, containers).await
}

/// What Compose would label containers with that it made from this configuration, beside those that are there.
async fn hashes(
    store: &Store,
    engine: &dyn Engine,
    project: &ComposeProject,
    config: &Value,
    containers: &[&Container],
) -> Result<BTreeMap<ServiceName, String>, Fault> {
    let mut config = config.clone();
    join(&mut config, containers);
    let folder = store.staging_folder()?;
    let file = folder.path().join("resolved.json");
    files::write_private(&file, config.to_string().as_bytes())?;
    let project = ComposeProject {
        files: vec![file],
        env_files: Vec::new(),
        ..project.clone()
    };
    Ok(engine.config_hashes(&project).await?)
}

/// Before it makes a hash, `up` puts the container of a service in the place of its name.
fn join(config: &mut Value, containers: &[&Container]) {
    let services = config.get_mut("services").and_then(Value::as_object_mut);
    for (_, service) in services.into_iter().flatten() {
        for key in ["network_mode", "ipc", "pid"] {
            let Some(value) = service.get_mut(key) else {
                continue;
            };
            let Some(name) = value
                .as_str()
                .and_then(|mode| mode.strip_prefix("service:"))
            else {
                continue;
            };
            let of_service = containers.iter().filter(|it| it.service.as_str() == name);
            if let Some(first) = of_service.min_by_key(|it| it.number) {
                *value = Value::from(format!("container:{}", first.id));
            }
        }
    }
}

/// What the services run, as far as the host still has it. A name may stand for several images by now.
async fn images(
    engine: &dyn Engine,
    resolved: &ResolvedStack,
    containers: &[&Container],
) -> Result<BTreeMap<String, ImagePin>, Fault> {
    let mut images = BTreeMap::new();
    for service in &resolved.services {
        let runs = containers.iter().filter(|it| it.service == service.name);
        let newest = runs.max_by_key(|it| it.started_at_millis);
        let Some(container) = newest.filter(|it| it.image == service.image) else {
            continue;
        };
        if let Some(image) = engine.image(&container.image_id).await? {
            let digest = image.digests.first().and_then(|name| name.split_once('@'));
            let digest = digest.map(|(_, digest)| digest.to_owned());
            let id = image.id;
            images.insert(service.image.clone(), ImagePin { id, digest });
        }
    }
    Ok(images)
}

/// Services that would not come back as they run: their files or values are not what they were started with.
fn inexact(
    resolved: &ResolvedStack,
    hashes: &BTreeMap<ServiceName, String>,
    images: &BTreeMap<String, ImagePin>,
    containers: &[&Container],
) -> BTreeSet<ServiceName> {
    let exact = |container: &Container| {
        let service = resolved.service(&container.service);
        let pin = service.and_then(|service| images.get(&service.image));
        service.is_some_and(|service| service.image == container.image)
            && pin.is_some_and(|pin| pin.id == container.image_id)
            && hashes.get(&container.service) == Some(&container.config_hash)
    };
    let odd = containers.iter().filter(|container| !exact(container));
    let mut inexact: BTreeSet<_> = odd.map(|container| container.service.clone()).collect();
    let scaled = resolved.services.iter().filter(|service| {
        let run = containers.iter().filter(|it| it.service == service.name);
        run.count() != service.replicas as usize
    });
    inexact.extend(scaled.map(|service| service.name.clone()));
    inexact
}

/// Services that were not well before anybody touched them.
fn unwell(resolved: &ResolvedStack, containers: &[&Container]) -> BTreeSet<ServiceName> {
    let well = |container: &Container, service: &ResolvedService| match container.state {
        ContainerState::Running => container.health != Health::Unhealthy,
        ContainerState::Exited => service.restart != Restart::Always && container.exit_code == 0,
        _ => false,
    };
    let services = resolved.services.iter().filter(|service| {
        let mut run = containers.iter().filter(|it| it.service == service.name);
        !run.all(|container| well(container, service))
    });
    services.map(|service| service.name.clone()).collect()
}

/// Whether a folder still holds what was found there.
pub(crate) fn still_there(folder: &Path, found: &Revision) -> Result<(), Fault> {
    let folder_of = ProjectDir::open(folder)?;
    let beside = found.found.iter().flat_map(|found| &found.beside);
    match found
        .spec
        .files
        .iter()
        .chain(beside)
        .find(|file| !folder_of.holds(file))
    {
        None => Ok(()),
        Some(file) => Err(super::stale(&format!(
            "{} in {} was changed since this plan was made",
            file.path,
            folder.display()
        ))),
    }
}
