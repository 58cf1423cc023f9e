//! Brings a stack onto the host: takes what is new, lays it out in private, lets Compose resolve it, keeps the result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::{BlobId, ProjectName, ServiceName};
use proto::limits::{BUNDLE_BYTES, BUNDLE_FILES};
use proto::path::RelPath;
use proto::stack::{ShippedFile, StackOffer, StackSpec};

use crate::audit::Caller;
use crate::engine::{ComposeProject, Engine, Named, Placeholders, Resolution};
use crate::redact::Redactor;
use crate::resolved::{self, ResolvedStack, Values};
use crate::store::{BlobWriter, Inputs, Stage, Store};

mod host_files;
mod laid_out;
mod search;
mod undefined;

use host_files::contents_of;
pub(crate) use laid_out::lay_out;
use laid_out::make_placeholders;

/// One stack on its way in. Dropped at any point, it leaves reusable blobs and nothing else.
pub struct Session {
    store: Arc<Store>,
    engine: Arc<dyn Engine>,
    spec: StackSpec,
    directory: PathBuf,
    awaited: BTreeMap<BlobId, u64>,
    incoming: Option<BlobWriter>,
    caller: Option<Caller>,
    /// Every service that the files name, of inactive profiles too; empty before it is known.
    declared: BTreeSet<ServiceName>,
    /// Files of the host that the stack reads.
    host_files: BTreeSet<PathBuf>,
    /// Whether there may be more of those.
    more_host_files: bool,
    /// Files that can be asked for, should Compose open them.
    available: BTreeSet<RelPath>,
    /// Those that Compose opened.
    opened: BTreeSet<RelPath>,
    /// What was asked for.
    asked: BTreeSet<String>,
    /// What the project is called if its files do not name it; `None` where its name is settled.
    default_project: Option<ProjectName>,
}

/// What to ask the controller for.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Paths of the stack.
    pub paths: Vec<String>,
    /// Whether Compose has to read the stack again when they are there.
    pub again: bool,
}

impl Session {
    /// Checks what was announced.
    ///
    /// # Errors
    /// When the stack could not be laid out as described.
    pub fn begin(
        store: Arc<Store>,
        engine: Arc<dyn Engine>,
        offer: StackOffer,
        directory: PathBuf,
    ) -> Result<Self, Fault> {
        let StackOffer {
            spec,
            available,
            default_project,
        } = offer;
        let mut session = Self {
            store,
            engine,
            spec,
            directory,
            awaited: BTreeMap::new(),
            incoming: None,
            caller: None,
            declared: BTreeSet::new(),
            host_files: BTreeSet::new(),
            more_host_files: false,
            available: available.into_iter().collect(),
            opened: BTreeSet::new(),
            asked: BTreeSet::new(),
            default_project,
        };
        let files = std::mem::take(&mut session.spec.files);
        session.add(files)?;
        session.check_named_files()?;
        Ok(session)
    }

    /// Has it recorded who brought the stack, should it be new here.
    pub fn recorded_as(&mut self, caller: Caller) {
        self.caller = Some(caller);
    }

    fn check_named_files(&self) -> Result<(), Fault> {
        let shipped: BTreeSet<&RelPath> = self.spec.files.iter().map(|file| &file.path).collect();
        let named = self.spec.compose_files.iter().chain(&self.spec.env_files);
        for path in named {
            if !shipped.contains(path) {
                return Err(request(format!(
                    "{path} is named but not among the stack's files"
                )));
            }
        }
        if self.spec.compose_files.is_empty() {
            return Err(request("the stack names no Compose file".to_owned()));
        }
        Ok(())
    }

    /// Adds files to the stack and answers which contents are not here yet.
    ///
    /// # Errors
    /// When they exceed the limits or contradict each other.
    pub fn add(&mut self, files: Vec<ShippedFile>) -> Result<Vec<BlobId>, Fault> {
        let mut all: BTreeMap<RelPath, ShippedFile> = self
            .spec
            .files
            .drain(..)
            .map(|file| (file.path.clone(), file))
            .collect();
        for file in files {
            match all.get(&file.path) {
                Some(known) if known.blob != file.blob => {
                    return Err(request(format!("{} comes with two contents", file.path)));
                }
                _ => drop(all.insert(file.path.clone(), file)),
            }
        }
        check_tree(&all)?;
        self.spec.files = all.into_values().collect();
        self.awaited = self
            .spec
            .files
            .iter()
            .filter(|file| !self.store.blobs().claim(&file.blob))
            .map(|file| (file.blob, file.size))
            .collect();
        Ok(self.awaited.keys().copied().collect())
    }

    /// Whether every announced content is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Takes a piece of content that was asked for.
    ///
    /// # Errors
    /// When it was not, or is not what was announced.
    pub fn chunk(&mut self, blob: BlobId, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let mut writer = match self.incoming.take() {
            Some(writer) if writer.blob() == blob => writer,
            Some(_) => return Err(request("a content broke off for another one".to_owned())),
            None => {
                let size = self.awaited.get(&blob).copied().ok_or_else(|| {
                    request(format!("content {} was not asked for", blob.short()))
                })?;
                self.store.blobs().receive(blob, size)?
            }
        };
        if writer.push(offset, data)? {
            self.awaited.remove(&blob);
        } else {
            self.incoming = Some(writer);
        }
        Ok(())
    }

    /// The paths that the Compose files name, and files that Compose opens. Starts Compose only when the files are new
    /// here.
    ///
    /// # Errors
    /// When Compose does not understand the files, a path leaves the stack, or the project is another stack's.
    pub async fn wanted(&mut self) -> Result<Wanted, Fault> {
        let named = self.named().await?;
        self.declared = named.services;
        self.host_files = named.host_files;
        self.more_host_files = named.more_host_files;
        // A name that was settled before was checked then.
        if self.default_project.is_some() {
            self.spec.project = named.project.unwrap_or_else(|| self.spec.project.clone());
            check_project(&self.store, &self.spec)?;
        }
        self.opened.extend(named.opened.iter().cloned());
        let opened = named.opened.into_iter().map(String::from);
        let opened: Vec<String> = opened.filter(|path| !self.asked.contains(path)).collect();
        let again = !opened.is_empty();
        let named = named.paths.into_iter();
        let mut paths: Vec<String> = named.filter(|path| !self.asked.contains(path)).collect();
        paths.extend(opened);
        paths.sort();
        paths.dedup();
        self.asked.extend(paths.iter().cloned());
        Ok(Wanted { paths, again })
    }

    async fn named(&self) -> Result<Named, Fault> {
        let version = self.engine.compose_version().await?;
        // All files, not the Compose files alone: others may be `include`d or extended from.
        let key = self.store.key().mark(
            "paths 6",
            &(
                &version,
                &self.spec.compose_files,
                &self.spec.env_files,
                &self.spec.folder,
                &self.spec.project,
                &self.spec.files,
                &self.spec.values,
                &self.available,
                &self.default_project,
            ),
        );
        if let Some(named) = self.store.named(&key)? {
            return Ok(named);
        }
        let name = self.default_project.as_ref().unwrap_or(&self.spec.project);
        let laid_out = lay_out(&self.store, &self.spec, name)?;
        let placeholders = Placeholders {
            root: laid_out.root(),
            paths: &make_placeholders(&laid_out, &self.available)?,
            private: laid_out.private(),
        };
        let project = ComposeProject {
            unnamed: self.default_project.is_some(),
            ..self.project(laid_out.root())
        };
        let named = self.engine.named(&project, placeholders).await;
        let mut named = named.map_err(|error| laid_out.told(error.into()))?;
        for path in &mut named.paths {
            let found = RelPath::resolve(self.spec.folder.as_ref(), path);
            *path = match found.map_err(|error| outside(&error.to_string()))? {
                Some(found) => found.into(),
                // The whole folder: the controller ships it file by file.
                None => ".".to_owned(),
            };
        }
        self.store.save_named(&key, &named)?;
        Ok(named)
    }

    /// Resolves the stack and keeps the result. An unchanged stack starts no process.
    ///
    /// # Errors
    /// When the stack cannot be deployed as it is; nothing outside the staging folder was touched.
    pub async fn finish(self) -> Result<Stage, Fault> {
        let compose_version = self.engine.compose_version().await?;
        let host = contents_of(&self.host_files).await;
        // What is not known to be read counts by what comes of it.
        let mut early = None;
        if self.more_host_files {
            early = Some(self.resolve().await?);
        }
        let outcome = early.as_ref().map(|resolution| &resolution.config);
        let inputs = Inputs {
            compose: &compose_version,
            directory: &self.directory,
            host: &host,
            outcome,
        };
        let id = self.store.stage_id(&self.spec, &inputs);
        // A stage names contents, and is kept.
        self.store.blobs().settle()?;
        if let Some(stage) = self.store.claim_stage(&id)? {
            return Ok(stage);
        }
        let resolution = match early {
            Some(resolution) => resolution,
            None => self.resolve().await?,
        };
        resolved::check_sources(&resolution.config, self.store.root(), &self.directory)?;
        let redactor = Redactor::new(&self.spec.values);
        let key = self.store.key();
        let values = Values {
            spec: &self.spec,
            host: &host,
        };
        let config = &resolution.config;
        let mut resolved = resolved::read(config, &self.directory, key, &redactor, &values)?;
        let active = |name: &ServiceName| resolved.service(name).is_some();
        let inactive = self.declared.iter().filter(|name| !active(name));
        resolved.inactive = inactive.cloned().collect();
        let active = |name: &ServiceName| resolved.service(name).is_some();
        let notes = self.check_undefined(&resolution, active).await?;
        check_named_services(&self.spec, &resolved)?;
        let mut warnings = resolution.warnings;
        warnings.extend(resolved::left_out(&resolution.config, &compose_version));
        let stage = Stage {
            id,
            spec: self.spec,
            resolved,
            warnings,
            notes,
            compose_version,
            directory: self.directory,
        };
        if let Some(caller) = self.caller {
            caller.asks(None, &format!("stage {}", id.short()));
            caller.about(&stage.spec.stack);
            caller.let_in()?;
        }
        self.store.save_stage(&stage)?;
        Ok(stage)
    }

    /// What Compose makes of the stack, as if it lay where it will be.
    async fn resolve(&self) -> Result<Resolution, Fault> {
        let laid_out = lay_out(&self.store, &self.spec, &self.spec.project)?;
        let resolution = self.engine.resolve(&self.project(laid_out.root())).await;
        let mut resolution = resolution.map_err(|error| laid_out.told(error.into()))?;
        resolved::rewrite_prefix(&mut resolution.config, laid_out.root(), &self.directory);
        for warning in &mut resolution.warnings {
            laid_out.rename(warning);
        }
        Ok(resolution)
    }

    fn project(&self, directory: &Path) -> ComposeProject {
        compose_project(&self.spec, directory)
    }
}

/// How Compose reads a stack that is laid out in `directory`.
#[must_use]
pub fn compose_project(spec: &StackSpec, directory: &Path) -> ComposeProject {
    let folder = match &spec.folder {
        Some(folder) => folder.under(directory),
        None => directory.to_owned(),
    };
    ComposeProject {
        name: spec.project.clone(),
        unnamed: false,
        directory: folder,
        files: spec
            .compose_files
            .iter()
            .map(|path| path.under(directory))
            .collect(),
        env_files: spec
            .env_files
            .iter()
            .map(|path| path.under(directory))
            .collect(),
        profiles: spec.profiles.clone(),
        environment: spec
            .values
            .iter()
            .map(|value| (value.name.to_string(), value.text.clone()))
            .collect(),
    }
}

/// Refuses a project that another stack of this host has.
///
/// # Errors
/// When it does, or the records cannot be read.
pub(crate) fn check_project(store: &Store, spec: &StackSpec) -> Result<(), Fault> {
    let owner = store.owner_of(&spec.project)?;
    let Some(owner) = owner.filter(|owner| *owner != spec.stack) else {
        return Ok(());
    };
    let what = format!(
        "project {} already belongs to stack {owner} on this host",
        spec.project
    );
    Err(Fault::new(FaultKind::Refused, what)
        .hint("give one of the two another project_name in fleet.toml"))
}

fn request(what: String) -> Fault {
    Fault::new(FaultKind::InvalidRequest, what)
}

fn outside(what: &str) -> Fault {
    Fault::new(
        FaultKind::InvalidStack,
        format!("the Compose files name a file outside the stack: {what}"),
    )
    .hint(resolved::INTO_THE_STACK)
}

/// A probe of a service that is not there would never be asked, and nobody would know.
fn check_named_services(spec: &StackSpec, resolved: &ResolvedStack) -> Result<(), Fault> {
    let probed = spec.probes.iter().map(|it| ("a probe", &it.service));
    let timed = spec.deadlines.keys().map(|it| ("a deadline", it));
    for (what, service) in probed.chain(timed) {
        if resolved.service(service).is_none() {
            let what = format!("{what} names service {service}, which the stack does not have");
            return Err(Fault::new(FaultKind::InvalidStack, what)
                .hint("services behind a profile run only when the profile is active"));
        }
    }
    Ok(())
}

/// Limits, and names that one file system would confuse: a file that is another one's folder.
fn check_tree(files: &BTreeMap<RelPath, ShippedFile>) -> Result<(), Fault> {
    if files.len() > BUNDLE_FILES {
        return Err(request(format!(
            "{} files; {BUNDLE_FILES} is the most",
            files.len()
        )));
    }
    let bytes = files
        .values()
        .try_fold(0_u64, |sum, file| sum.checked_add(file.size));
    if bytes.is_none_or(|bytes| bytes > BUNDLE_BYTES) {
        return Err(request(format!("more than {BUNDLE_BYTES} bytes of files")));
    }
    for path in files.keys() {
        let mut parent = path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            parent = above;
            if above
                .parse()
                .is_ok_and(|above: RelPath| files.contains_key(&above))
            {
                return Err(request(format!(
                    "{above} is both a file and the folder of {path}"
                )));
            }
        }
    }
    Ok(())
}
