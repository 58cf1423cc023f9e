//! Brings a stack onto the host: takes what is new, lays it out in private, lets Compose resolve it, keeps the result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::{BlobId, ServiceName};
use proto::limits::{BUNDLE_BYTES, BUNDLE_FILES};
use proto::path::RelPath;
use proto::stack::{ShippedFile, StackSpec};

use sha2::{Digest as _, Sha256};

use crate::audit::Caller;
use crate::engine::{ComposeProject, Engine, Named};
use crate::files::FileError;
use crate::redact::Redactor;
use crate::resolved::{self, ResolvedStack, Values};
use crate::store::tempdir::TempDir;
use crate::store::{BlobWriter, Stage, Store};
use crate::witness::disk::{self, Call};

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
}

impl Session {
    /// Checks what was announced.
    ///
    /// # Errors
    /// When the stack could not be laid out as described.
    pub fn begin(
        store: Arc<Store>,
        engine: Arc<dyn Engine>,
        spec: StackSpec,
        directory: PathBuf,
    ) -> Result<Self, Fault> {
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

    /// The relative paths that the Compose files name. Starts Compose only when the files are new here.
    ///
    /// # Errors
    /// When Compose does not understand the files, or a path leaves the stack.
    pub async fn wanted(&mut self) -> Result<Vec<String>, Fault> {
        let named = self.named().await?;
        self.declared = named.services;
        self.host_files = named.host_files;
        Ok(named.paths)
    }

    async fn named(&self) -> Result<Named, Fault> {
        let version = self.engine.compose_version().await?;
        // All files, not the Compose files alone: others may be `include`d or extended from.
        let key = self.store.key().mark(
            "paths 4",
            &(
                &version,
                &self.spec.compose_files,
                &self.spec.files,
                &self.spec.values,
            ),
        );
        if let Some(named) = self.store.named(&key)? {
            return Ok(named);
        }
        let staging = lay_out(&self.store, &self.spec)?;
        let named = self.engine.named(&self.project(staging.path())).await;
        let mut named = named.map_err(|error| in_the_stack(error.into(), staging.path()))?;
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
        let id = self
            .store
            .stage_id(&self.spec, &compose_version, &self.directory, &host);
        // A stage names contents, and is kept.
        self.store.blobs().settle()?;
        if let Some(stage) = self.store.claim_stage(&id)? {
            return Ok(stage);
        }
        let staging = lay_out(&self.store, &self.spec)?;
        let resolution = self.engine.resolve(&self.project(staging.path())).await;
        let mut resolution =
            resolution.map_err(|error| in_the_stack(error.into(), staging.path()))?;
        self.check_undefined(&resolution.undefined)?;
        resolved::rewrite_prefix(&mut resolution.config, staging.path(), &self.directory);
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
        check_named_services(&self.spec, &resolved)?;
        let stage = Stage {
            id,
            spec: self.spec,
            resolved,
            warnings: resolution.warnings,
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

    fn check_undefined(&self, undefined: &[String]) -> Result<(), Fault> {
        let allowed = |name: &&String| {
            !self
                .spec
                .allow_undefined
                .iter()
                .any(|a| a.as_str() == *name)
        };
        let names: Vec<&str> = undefined
            .iter()
            .filter(allowed)
            .map(String::as_str)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let plural = if names.len() == 1 {
            "variable is"
        } else {
            "variables are"
        };
        let stack = &self.spec.stack;
        Err(Fault::new(
            FaultKind::InvalidStack,
            format!("{plural} not defined: {}", names.join(", ")),
        )
        .hint(format!(
            "set it in the stack's .env or in [stacks.{stack}.env] of fleet.toml"
        ))
        .hint("or list it in the stack's allow_undefined, if a blank is meant"))
    }

    fn project(&self, directory: &Path) -> ComposeProject {
        compose_project(&self.spec, directory)
    }
}

/// What Compose says of a staging folder, in terms of the stack: nobody knows that folder.
fn in_the_stack(mut fault: Fault, staging: &Path) -> Fault {
    let folder = staging.display().to_string();
    let mut missing = false;
    for line in fault.output.iter_mut().chain(&mut fault.causes) {
        let of_the_stack = line.contains(&folder);
        *line = line
            .replace(&format!("{folder}/"), "")
            .replace(&folder, ".");
        missing |= of_the_stack && line.contains("no such file");
    }
    if missing {
        fault = fault.hint(
            "if the file is in the stack's folder, name it in fleet.toml, with what it includes: ship = [\"PATH\"]",
        );
    }
    fault
}

/// The most of a file of the host that is read: those that Compose reads are small.
const HOST_FILE: u64 = 16 * 1024 * 1024;

/// A network file system that does not answer is not waited for.
const HOST_FILES_DEADLINE: Duration = Duration::from_secs(5);

/// What files of the host hold; `None` for one that is not there, or no file that can be read.
async fn contents_of(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Option<BlobId>> {
    let unread = || files.iter().map(|path| (path.clone(), None)).collect();
    if files.is_empty() {
        return unread();
    }
    let paths = files.clone();
    let read = tokio::task::spawn_blocking(move || {
        let all = paths.into_iter();
        all.map(|path| {
            let content = content_of(&path);
            (path, content)
        })
        .collect()
    });
    match tokio::time::timeout(HOST_FILES_DEADLINE, read).await {
        Ok(Ok(contents)) => contents,
        _ => unread(),
    }
}

fn content_of(path: &Path) -> Option<BlobId> {
    // A device or a pipe must not even be opened.
    let there = std::fs::metadata(path).ok()?;
    (there.is_file() && there.len() <= HOST_FILE).then_some(())?;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(HOST_FILE).read_to_end(&mut content).ok()?;
    Some(BlobId::from_bytes(Sha256::digest(&content).into()))
}

/// Writes a stack into a fresh private folder.
pub(crate) fn lay_out(store: &Store, spec: &StackSpec) -> Result<TempDir, Fault> {
    let staging = store.staging_folder()?;
    for file in &spec.files {
        let path = file.path.under(staging.path());
        if let Some(parent) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(|error| FileError::new("create folder", parent, error))?;
        }
        let open = || {
            disk::ask(Call::Make, &path)?;
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        };
        let mut target = open().map_err(|error| FileError::new("create", &path, error))?;
        store.blobs().copy_to(&file.blob, &mut target, &path)?;
    }
    Ok(staging)
}

/// How Compose reads a stack that is laid out in `directory`.
#[must_use]
pub fn compose_project(spec: &StackSpec, directory: &Path) -> ComposeProject {
    ComposeProject {
        name: spec.project.clone(),
        directory: match &spec.folder {
            Some(folder) => folder.under(directory),
            None => directory.to_owned(),
        },
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
