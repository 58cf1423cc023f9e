//! An agent that is being brought here: it is nothing until it is whole, is what was announced, and runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::BlobId;
use proto::upgrade::NewAgent;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::place::Place;
use crate::files::{FileError, sync_dir};
use crate::process::{self, Captured, How, Limits, ProcessError, Program};
use crate::witness;

/// What must stay free beside it.
const SPARE: u64 = 16 * 1024 * 1024;
/// To say which version it is.
const SAYING: Duration = Duration::from_secs(10);

/// A new agent, part of which may be here.
#[derive(Debug)]
pub struct Incoming {
    claim: Claim,
    file: File,
    here: u64,
}

/// Which agent it is, where it is put together, and the right to do so.
#[derive(Debug)]
struct Claim {
    new: NewAgent,
    place: Place,
    path: PathBuf,
    turn: OwnedSemaphorePermit,
}

/// A new agent that could be started.
#[derive(Debug)]
pub struct Whole {
    pub(super) name: String,
    _turn: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn open(
        place: Place,
        new: NewAgent,
        turn: OwnedSemaphorePermit,
    ) -> Result<Self, Fault> {
        let folder = place.folder().to_owned();
        let failed = |error| Fault::from(FileError::new("write into", &folder, error));
        let path = place.partial(&new.digest.to_string()).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut here = file.metadata().map_err(failed)?.len();
        if here > new.size {
            file.set_len(0).map_err(failed)?;
            here = 0;
        }
        check_room(&folder, new.size - here)?;
        let claim = Claim {
            new,
            place,
            path,
            turn,
        };
        Ok(Self { claim, file, here })
    }

    /// Bytes that are here already, of an earlier try too.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.here
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.here >= self.claim.new.size
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are not the next ones, are more than was announced, or the disk is full.
    pub fn chunk(&mut self, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let after = offset.saturating_add(data.len() as u64);
        if offset != self.here || data.is_empty() || after > self.claim.new.size {
            let what = "the new agent's bytes do not come in order";
            return Err(Fault::new(FaultKind::InvalidRequest, what));
        }
        if let Err(error) = self.file.write_all(data) {
            // It holds space that is short.
            drop(fs::remove_file(&self.claim.path));
            return Err(FileError::new("write", &self.claim.path, error).into());
        }
        self.here = after;
        witness::changed(&self.claim.path);
        Ok(())
    }

    /// Verifies all of it, and that it runs here and is what it was said to be.
    ///
    /// # Errors
    /// With what is wrong with it; nothing of it stays then.
    pub async fn finish(self) -> Result<Whole, Fault> {
        let build = self.claim.new.build();
        let path = self.claim.path.clone();
        let checked = tokio::task::spawn_blocking(move || whole(self)).await;
        let broke = |error| Fault::new(FaultKind::Internal, "a check broke off").because(&error);
        let checked = match checked.map_err(broke)? {
            Ok(claim) => claim.try_out().await,
            Err(fault) => Err(fault),
        };
        if checked.is_err() {
            drop(fs::remove_file(path));
        }
        checked.map_err(|mut fault| {
            fault.what = format!("agent {build} is not used: {}", fault.what);
            fault
        })
    }
}

impl Claim {
    async fn try_out(self) -> Result<Whole, Fault> {
        says_version(&self.path, &self.new.version).await?;
        let name = format!("agent-{}", self.new.build());
        let moved = fs::rename(&self.path, self.place.path(&name))
            .and_then(|()| sync_dir(self.place.folder()));
        moved.map_err(|error| FileError::new("rename", &self.path, error))?;
        witness::changed(&self.place.path(&name));
        Ok(Whole {
            name,
            _turn: self.turn,
        })
    }
}

/// Closes it once it is on the disk, is what was announced, and may be executed: nothing runs that is open for writing.
/// Blocks.
fn whole(incoming: Incoming) -> Result<Claim, Fault> {
    let Incoming { claim, file, .. } = incoming;
    let failed = |error| FileError::new("check", &claim.path, error);
    file.sync_all().map_err(failed)?;
    let (digest, head) = digest(&claim.path).map_err(failed)?;
    if digest != claim.new.digest {
        let what = format!("its SHA-256 is {digest} and not {}", claim.new.digest);
        return Err(Fault::new(FaultKind::Refused, what).hint("run the same command again"));
    }
    runs_here(&head)?;
    let mode = fs::Permissions::from_mode(0o755);
    file.set_permissions(mode).map_err(failed)?;
    Ok(claim)
}

fn digest(path: &Path) -> io::Result<(BlobId, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(20).read_to_end(&mut head)?;
    let mut hash = Sha256::new();
    hash.update(&head);
    io::copy(&mut file, &mut Hashing(&mut hash))?;
    Ok((BlobId::from_bytes(hash.finalize().into()), head))
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A program of another machine would be read as a script by some who start it.
fn runs_here(head: &[u8]) -> Result<(), Fault> {
    let ours: [u8; 2] = match std::env::consts::ARCH {
        "aarch64" => [0xb7, 0],
        _ => [0x3e, 0],
    };
    let refused = |what: &str| Err(Fault::new(FaultKind::Refused, what));
    match head {
        [0x7f, b'E', b'L', b'F', ..] if head.get(18..20) == Some(ours.as_slice()) => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => refused("it is built for another machine"),
        [b'#', b'!', ..] => Ok(()),
        _ => refused("it is no program"),
    }
}

async fn says_version(path: &Path, version: &str) -> Result<(), Fault> {
    let Captured {
        how,
        stdout,
        stderr,
        ..
    } = start(path).await?;
    let said = String::from_utf8_lossy(&stdout);
    if how == How::Exited(0) && said.trim() == format!("agent {version}") {
        return Ok(());
    }
    let what = match how {
        How::Exited(0) => format!(
            "it says it is {:?}",
            said.trim().chars().take(80).collect::<String>()
        ),
        How::Exited(code) => format!("it does not run on this host: exit code {code}"),
        How::Signalled(signal) => format!("it does not run on this host: signal {signal}"),
        How::TimedOut | How::Cancelled => "it does not say its version".to_owned(),
    };
    Err(Fault::new(FaultKind::Refused, what).output(stderr.into_iter().take(20)))
}

async fn start(path: &Path) -> Result<Captured, Fault> {
    const BUSY: i32 = 26;
    let program = Program {
        path: path.to_owned(),
        args: vec!["version".to_owned()],
        environment: Vec::new(),
        directory: PathBuf::from("/"),
    };
    let mut tries = 0;
    loop {
        let limits = Limits {
            deadline: SAYING,
            stop: CancellationToken::new(),
        };
        match process::capture(&program, 4096, &limits).await {
            // Another child that is being started holds what we wrote with, for a moment.
            Err(ProcessError::Start { source, .. })
                if source.raw_os_error() == Some(BUSY) && tries < 20 =>
            {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                let what = "it cannot be started on this host";
                return Err(Fault::new(FaultKind::Refused, what).because(&error));
            }
            Ok(captured) => return Ok(captured),
        }
    }
}

fn check_room(folder: &Path, wanted: u64) -> Result<(), Fault> {
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| FileError::new("measure", folder, error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= wanted.saturating_add(SPARE) {
        return Ok(());
    }
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let what = format!(
        "there is no room for a new agent: {} MiB are free in {}",
        mib(free),
        folder.display()
    );
    let fault = Fault::new(FaultKind::Failed, what);
    Err(fault.hint(format!(
        "make {} MiB free on the host",
        mib(wanted + SPARE) + 1
    )))
}
