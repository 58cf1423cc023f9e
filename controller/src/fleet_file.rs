//! Writes into a person's `fleet.toml` without losing a comment: the first version, and one host at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::fault::{Fault, FaultKind};
use proto::id::{FleetName, HostName, StackName};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use crate::private::{self, FileError};

/// The fleet file could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FleetFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not TOML.
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where, with the line.
        detail: String,
    },
    /// The host is there, with other settings.
    #[error("host {name} is in {} already, with another {what}", path.display())]
    HostExists {
        /// Its name.
        name: HostName,
        /// Which file.
        path: PathBuf,
        /// `address`, `ssh`, `labels`, `stacks`.
        what: &'static str,
    },
    /// `hosts` is not a table.
    #[error("`hosts` in {} is not a table", .0.display())]
    HostsNotATable(PathBuf),
}

impl From<FleetFileError> for Fault {
    fn from(error: FleetFileError) -> Self {
        let fault = Self::new(FaultKind::InvalidStack, error.to_string());
        match error {
            FleetFileError::File(error) => error.into(),
            FleetFileError::Syntax { detail, .. } => {
                fault.output(detail.lines().map(str::to_owned))
            }
            FleetFileError::HostExists { .. } => {
                fault.hint("edit the file by hand, or leave the settings out")
            }
            FleetFileError::HostsNotATable(_) => fault,
        }
    }
}

/// A host as `host add` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// Its name.
    pub name: HostName,
    /// `address:port` of its agent.
    pub address: String,
    /// `user@address:port` for enrolment and tunnels.
    pub ssh: Option<String>,
    /// For `label:` targets.
    pub labels: Vec<String>,
    /// What it runs.
    pub stacks: Vec<StackName>,
}

/// Writes a new fleet file, or `[fleet]` into one that lacks it; one that has it is left alone. Says whether
/// anything was written.
///
/// # Errors
/// When the file is not TOML, or cannot be written.
pub fn create_if_missing(path: &Path, fleet: &FleetName) -> Result<bool, FleetFileError> {
    let header = format!(
        "[fleet]\nname = \"{fleet}\"\nca   = \"ca.pem\"        # the two authorities' public certificates, in git\n\
         crl  = \"revoked.crl\"\n"
    );
    if !path.exists() {
        private::write(path, &header)?;
        return Ok(true);
    }
    let text = private::read(path)?;
    if parse(path, &text)?.contains_key("fleet") {
        return Ok(false);
    }
    private::write(path, &below_the_title(&text, &header))?;
    Ok(true)
}

/// The comment that a file opens with stays its first lines, when an empty line ends it.
fn below_the_title(text: &str, header: &str) -> String {
    let is_comment = |line: &&str| line.starts_with('#');
    let title: String = text.split_inclusive('\n').take_while(is_comment).collect();
    match text.strip_prefix(&title) {
        Some(rest) if !title.is_empty() && rest.starts_with('\n') => {
            format!("{title}\n{header}{rest}")
        }
        _ => format!("{header}\n{text}"),
    }
}

fn parse(path: &Path, text: &str) -> Result<DocumentMut, FleetFileError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let (path, detail) = (path.to_owned(), error.to_string());
        FleetFileError::Syntax { path, detail }
    })
}

/// Whether a host can be added: it is not there, or with the same settings.
///
/// # Errors
/// As [`add_host`]; nothing is written.
pub fn check_host(path: &Path, host: &HostEntry) -> Result<(), FleetFileError> {
    added(path, host).map(drop)
}

/// Adds a host; one that is there with the same settings is left as it is. Says whether anything was written.
///
/// # Errors
/// When the file is not TOML, or has that host with other settings.
pub fn add_host(path: &Path, host: &HostEntry) -> Result<bool, FleetFileError> {
    let _turn = turn(path)?;
    let Some(document) = added(path, host)? else {
        return Ok(false);
    };
    private::write(path, &document.to_string())?;
    Ok(true)
}

/// Two that add a host at one moment do it one after the other: each reads the whole file and writes it anew. The folder
/// is locked, for the file is replaced.
fn turn(path: &Path) -> Result<File, FleetFileError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(20);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let failed = |source| FileError::Io {
        verb: "lock",
        path: folder.to_owned(),
        source,
    };
    let file = File::open(folder).map_err(failed)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(PAUSE),
            Err(error) => return Err(failed(error.into()).into()),
        }
    }
}

/// The file with the host; `None` when it is there.
fn added(path: &Path, host: &HostEntry) -> Result<Option<DocumentMut>, FleetFileError> {
    let text = private::read(path)?;
    let mut document = parse(path, &text)?;
    let hosts = document.entry("hosts").or_insert_with(implicit_table);
    let hosts = hosts
        .as_table_like_mut()
        .ok_or_else(|| FleetFileError::HostsNotATable(path.to_owned()))?;
    if let Some(existing) = hosts.get(host.name.as_str()) {
        return match difference(existing, host) {
            None => Ok(None),
            Some(what) => Err(FleetFileError::HostExists {
                name: host.name.clone(),
                path: path.to_owned(),
                what,
            }),
        };
    }
    hosts.insert(host.name.as_str(), Item::Table(entry(host)));
    Ok(Some(document))
}

/// `[hosts.NAME]` needs no `[hosts]` above it.
fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn entry(host: &HostEntry) -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table.insert("address", value(&host.address));
    if let Some(ssh) = &host.ssh {
        table.insert("ssh", value(ssh));
    }
    if !host.labels.is_empty() {
        table.insert("labels", value(host.labels.iter().collect::<Array>()));
    }
    if !host.stacks.is_empty() {
        let stacks = host.stacks.iter().map(StackName::as_str);
        table.insert("stacks", value(stacks.collect::<Array>()));
    }
    table
}

/// The first setting that was asked for and is not what the file says.
fn difference(existing: &Item, host: &HostEntry) -> Option<&'static str> {
    let Some(table) = existing.as_table_like() else {
        return Some("shape");
    };
    let stacks: Vec<String> = host.stacks.iter().map(ToString::to_string).collect();
    let text = |key: &str| table.get(key).and_then(Item::as_str);
    if text("address") != Some(&host.address) {
        return Some("address");
    }
    if host.ssh.is_some() && text("ssh") != host.ssh.as_deref() {
        return Some("ssh");
    }
    if !host.labels.is_empty() && texts(table, "labels") != host.labels {
        return Some("labels");
    }
    (!stacks.is_empty() && texts(table, "stacks") != stacks).then_some("stacks")
}

fn texts(table: &dyn TableLike, key: &str) -> Vec<String> {
    let array = table.get(key).and_then(Item::as_array);
    let items = array.into_iter().flat_map(Array::iter);
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostEntry {
        HostEntry {
            name: name.parse().unwrap(),
            address: "emilia.example.org:7433".into(),
            ssh: Some("ops@emilia.example.org:29862".into()),
            labels: vec!["cloud".into()],
            stacks: vec!["opq".parse().unwrap()],
        }
    }

    #[test]
    fn a_file_without_its_fleet_gets_one_below_its_title() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        private::write(&path, "# ours\n\n[stacks.opq]\npath = \"opq\"\n").unwrap();
        let fleet = "opq".parse().unwrap();
        assert!(create_if_missing(&path, &fleet).unwrap());
        let text = private::read(&path).unwrap();
        assert!(
            text.starts_with("# ours\n\n[fleet]\nname = \"opq\"\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\n\n[stacks.opq]\npath = \"opq\"\n"),
            "{text}"
        );
        assert!(!create_if_missing(&path, &fleet).unwrap());
    }

    #[test]
    fn comments_order_and_spacing_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        let before = "# ours\n[fleet]\nname = \"opq\" # the fleet\n\n[hosts.paul]   # in the cellar\naddress = \"paul:7433\"\n\n[stacks.opq]\npath = \"opq\"\n";
        private::write(&path, before).unwrap();
        assert!(add_host(&path, &host("emilia")).unwrap());
        let after = private::read(&path).unwrap();
        for line in before.lines() {
            assert!(after.contains(line), "{line:?} is gone from\n{after}");
        }
        let added = "\n[hosts.emilia]\naddress = \"emilia.example.org:7433\"\nssh = \"ops@emilia.example.org:29862\"\nlabels = [\"cloud\"]\nstacks = [\"opq\"]\n";
        assert!(after.contains(added), "{after}");
        after.parse::<DocumentMut>().unwrap();
    }

    #[test]
    fn a_new_file_takes_its_first_host_and_adding_twice_is_adding_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        let fleet = "opq".parse().unwrap();
        assert!(create_if_missing(&path, &fleet).unwrap());
        assert!(!create_if_missing(&path, &fleet).unwrap());
        assert!(add_host(&path, &host("emilia")).unwrap());
        assert!(!add_host(&path, &host("emilia")).unwrap());
        let text = private::read(&path).unwrap();
        assert_eq!(text.matches("[hosts.emilia]").count(), 1);
        assert!(!text.contains("[hosts]\n"));
    }

    #[test]
    fn a_host_with_other_settings_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        private::write(
            &path,
            "[hosts]\nemilia = { address = \"elsewhere:7433\" }\n",
        )
        .unwrap();
        let error = add_host(&path, &host("emilia")).unwrap_err();
        assert!(error.to_string().contains("another address"), "{error}");
        private::write(&path, "[hosts\n").unwrap();
        let fault = Fault::from(add_host(&path, &host("emilia")).unwrap_err());
        assert!(
            fault.output.iter().any(|line| line.contains("line 1")),
            "{fault:?}"
        );
    }

    #[test]
    fn hosts_that_are_added_at_one_moment_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.toml");
        create_if_missing(&path, &"opq".parse().unwrap()).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || add_host(path, &host(&format!("host{number}"))).unwrap());
            }
        });
        let text = private::read(&path).unwrap();
        for number in 0..8 {
            assert!(text.contains(&format!("[hosts.host{number}]")), "{text}");
        }
    }
}
