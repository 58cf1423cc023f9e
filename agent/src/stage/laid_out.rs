//! A stack in a private folder, where Compose reads it.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proto::fault::Fault;
use proto::id::ProjectName;
use proto::path::RelPath;
use proto::stack::StackSpec;

use crate::files::FileError;
use crate::resolved::INTO_THE_STACK;
use crate::store::Store;
use crate::store::tempdir::TempDir;
use crate::witness::disk::{self, Call};

/// So many folders lie between the private one and the stack's: a path that leads up from the stack is still known for
/// one when Compose tells of it.
const ABOVE: usize = 12;

/// Gone when it is dropped.
pub(crate) struct LaidOut {
    root: PathBuf,
    private: TempDir,
}

impl LaidOut {
    /// Where the stack's files are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that holds nothing else.
    pub(super) fn private(&self) -> &Path {
        self.private.path()
    }

    /// Writes paths as the stack's files would; whether there were any in it, and above it.
    pub(super) fn rename(&self, line: &mut String) -> (bool, bool) {
        let inside = replace_folder(line, &self.root, "");
        let mut outside = false;
        let mut up = String::new();
        for folder in self.root.ancestors().skip(1).take(ABOVE) {
            up.push_str("../");
            outside |= replace_folder(line, folder, &up);
        }
        (inside, outside)
    }

    /// What Compose says of its files, in terms of the stack: nobody knows these folders.
    pub(super) fn told(&self, mut fault: Fault) -> Fault {
        let (mut missing, mut outside) = (false, false);
        for line in fault.output.iter_mut().chain(&mut fault.causes) {
            let (in_it, above_it) = self.rename(line);
            missing |= in_it && line.contains("no such file");
            outside |= above_it;
        }
        if missing {
            fault = fault.hint(
                "if the file is in the stack's folder, name it in fleet.toml, with what it includes: ship = [\"PATH\"]",
            );
        }
        if outside {
            fault = fault.hint(INTO_THE_STACK);
        }
        fault
    }
}

/// Puts `by` in the place of a folder in front of each path; whether there was any.
fn replace_folder(line: &mut String, folder: &Path, by: &str) -> bool {
    let folder = folder.display().to_string();
    if !line.contains(&folder) {
        return false;
    }
    let below = line.replace(&format!("{folder}/"), by);
    let itself = if by.is_empty() {
        "."
    } else {
        by.trim_end_matches('/')
    };
    *line = below.replace(&folder, itself);
    true
}

/// Writes a stack into a fresh private folder, into one that is called `name`: Compose names projects after folders.
pub(crate) fn lay_out(
    store: &Store,
    spec: &StackSpec,
    name: &ProjectName,
) -> Result<LaidOut, Fault> {
    let private = store.staging_folder()?;
    let mut root = private.path().to_owned();
    root.extend(["above"; ABOVE]);
    root.push(name.as_str());
    make_folder(&root).map_err(|error| FileError::new("create folder", &root, error))?;
    for file in &spec.files {
        let path = file.path.under(&root);
        let target = make_file(&path);
        let mut target = target.map_err(|error| FileError::new("create", &path, error))?;
        store.blobs().copy_to(&file.blob, &mut target, &path)?;
    }
    Ok(LaidOut { root, private })
}

/// Makes an empty file for each of `paths` that is not there. What would lie below a file, or be one in the place of a
/// folder, cannot be a file of this stack: it is left out.
pub(super) fn make_placeholders(
    laid_out: &LaidOut,
    paths: &BTreeSet<RelPath>,
) -> Result<BTreeSet<RelPath>, Fault> {
    let mut made = BTreeSet::new();
    for path in paths {
        let place = path.under(&laid_out.root);
        match make_file(&place) {
            Ok(_) => drop(made.insert(path.clone())),
            Err(error) if is_taken(error.kind()) => {}
            Err(error) => return Err(FileError::new("create", &place, error).into()),
        }
    }
    Ok(made)
}

fn is_taken(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
    )
}

/// Makes the folders that it lies in, too.
fn make_file(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    disk::ask(Call::Make, path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use proto::fault::FaultKind;

    use super::*;
    use crate::testing::spec;

    #[test]
    fn private_folders_are_in_no_message() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let laid_out = lay_out(&store, &spec(), &"opq".parse().unwrap());
        let laid_out = laid_out.unwrap_or_else(|fault| panic!("{fault:?}"));
        let root = laid_out.root().display();
        let told = |line: String| {
            let mut fault = Fault::new(FaultKind::InvalidStack, "x");
            fault.output.push(line);
            let fault = laid_out.told(fault);
            (fault.output[0].clone(), fault.hints.len())
        };
        for (line, shown, hints) in [
            (
                format!("open {root}/a/b: no such file"),
                "open a/b: no such file",
                1,
            ),
            (
                format!("open {root}: is a directory"),
                "open .: is a directory",
                0,
            ),
            (
                format!("{}", laid_out.root().join("../x").display()),
                "../x",
                0,
            ),
            (
                "open /etc/x: no such file".to_owned(),
                "open /etc/x: no such file",
                0,
            ),
        ] {
            assert_eq!(told(line), (shown.to_owned(), hints));
        }
        let above = laid_out.root().ancestors().nth(3).unwrap();
        let line = format!("open {}/base.yaml: no such file", above.display());
        assert_eq!(
            told(line),
            ("open ../../../base.yaml: no such file".to_owned(), 1)
        );
    }
}
