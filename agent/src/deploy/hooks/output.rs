//! What a hook prints: lines to the journal, and where it is to be kept, bytes to the disk as they come.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::event::{EventKind, Outcome};
use proto::fault::{Fault, FaultKind};
use proto::hook::{Hook, Save, Saved};
use proto::id::BlobId;
use sha2::{Digest as _, Sha256};

use super::lines::{Lines, Tail};
use super::scene::Spot;
use super::told::Told;
use super::{Job, Stopped, gate, place};
use crate::engine::{EngineError, Printed};
use crate::files::FileError;

/// Room that is looked after again once so many bytes were written.
const LOOK_AGAIN: u64 = 8 * 1024 * 1024;
/// What must stay free on the host's disk, in bytes and in parts of it.
const LEAST_FREE: u64 = 256 * 1024 * 1024;
const LEAST_PART: u64 = 20;
/// The end of an output, where a number is looked for.
const NUMBER_TAIL: usize = 4096;

/// Where a kept output lies in a deploy's folder.
pub(crate) fn saved_file(folder: &Path, hook: u32) -> PathBuf {
    folder.join(format!("saved-{hook}"))
}

/// Whether a file of a deploy's folder is a kept output.
pub(crate) fn is_saved(name: &str) -> bool {
    name.starts_with("saved-")
}

fn part_file(folder: &Path, hook: u32) -> PathBuf {
    saved_file(folder, hook).with_extension("part")
}

/// Removes outputs that were cut off.
pub(super) fn remove_parts(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|it| it == "part")
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a part of an output stays");
        }
    }
}

/// Everything that a hook prints.
pub(super) struct Output {
    index: u32,
    keep: Option<Keep>,
    /// Why nothing more is taken.
    trouble: Option<Fault>,
    out: Lines,
    err: Lines,
    tail: Tail,
    number: Vec<u8>,
    /// The container whose making Compose tells of among the command's own lines.
    made: Option<String>,
}

/// A file under way.
struct Keep {
    path: PathBuf,
    file: File,
    digest: Sha256,
    size: u64,
    look_at: u64,
}

impl Output {
    pub(super) fn open(job: &Job, index: u32, hook: &Hook, spot: &Spot) -> Result<Self, Stopped> {
        let folder = job.store.deploy_folder(&job.deploy);
        let keep = hook
            .save
            .as_ref()
            .map(|_| Keep::open(part_file(&folder, index)));
        Ok(Self {
            index,
            keep: keep.transpose()?,
            trouble: None,
            out: Lines::default(),
            err: Lines::default(),
            tail: Tail::default(),
            number: Vec::new(),
            made: spot.container_made().map(str::to_owned),
        })
    }

    /// Takes a piece; an error means that the command may as well stop.
    pub(super) fn take(&mut self, job: &Job, piece: Printed) -> Result<(), ()> {
        if self.trouble.is_some() {
            return Err(());
        }
        match piece {
            Printed::Out(bytes) => {
                let from = bytes.len().saturating_sub(NUMBER_TAIL);
                self.number
                    .extend_from_slice(bytes.get(from..).unwrap_or_default());
                let over = self.number.len().saturating_sub(NUMBER_TAIL);
                self.number.drain(..over);
                if let Some(keep) = &mut self.keep {
                    self.trouble = keep.write(&bytes).err();
                } else {
                    let lines = self.out.take(&bytes);
                    self.tell(job, lines);
                }
            }
            Printed::Err(bytes) => {
                let lines = self.err.take(&bytes);
                self.tell(job, lines);
            }
        }
        if self.trouble.is_some() {
            Err(())
        } else {
            Ok(())
        }
    }

    fn tell(&mut self, job: &Job, lines: impl IntoIterator<Item = String>) {
        for text in lines {
            let of_compose = |name: &String| text.contains(name.as_str());
            if self.made.as_ref().is_some_and(of_compose) {
                continue;
            }
            self.tail.push(text.clone());
            job.journal.push(EventKind::HookLine {
                hook: self.index,
                text,
            });
        }
    }

    /// How it ended, with what was printed put where it belongs.
    pub(super) fn end(
        mut self,
        job: &Job,
        spot: &Spot,
        hook: &Hook,
        ended: Result<i64, EngineError>,
    ) -> Told {
        let rest: Vec<String> = [self.out.rest(), self.err.rest()]
            .into_iter()
            .flatten()
            .collect();
        self.tell(job, rest);
        let number = hook
            .gate
            .and_then(|_| gate::last_number(&String::from_utf8_lossy(&self.number)));
        let refused = |outcome, note: String| Told::new(outcome, note);
        let told = match (self.trouble.take(), ended) {
            (Some(fault), _) => Told::stopped(fault.into()),
            (None, Err(error)) => Told::stopped(error.into()),
            (None, Ok(0)) => match hook
                .gate
                .and_then(|it| gate::refusal(it, number.as_deref()))
            {
                Some(why) => Told {
                    exit_code: Some(0),
                    ..refused(Outcome::Failed, why)
                },
                None => self.good(job, spot, hook.save.as_ref()),
            },
            (None, Ok(code)) => Told {
                exit_code: Some(code),
                ..refused(Outcome::Failed, format!("exit code {code}"))
            },
        };
        if let Some(keep) = &self.keep {
            fs::remove_file(&keep.path).ok();
        }
        let mut tail = self.tail.lines();
        if self.keep.is_some() && tail.is_empty() {
            // The engine itself complains where the output should be.
            let words = String::from_utf8_lossy(&self.number);
            tail = words.lines().rev().take(5).map(str::to_owned).collect();
            tail.reverse();
        }
        Told {
            number,
            tail: if told.tail.is_empty() {
                tail
            } else {
                told.tail
            },
            ..told
        }
    }

    fn good(&mut self, job: &Job, spot: &Spot, save: Option<&Save>) -> Told {
        let saved = match (self.keep.take(), save) {
            (Some(keep), Some(save)) => {
                let folder = job.store.deploy_folder(&job.deploy);
                keep.finish(saved_file(&folder, self.index), save, spot)
                    .map(Some)
            }
            _ => Ok(None),
        };
        match saved {
            Ok(saved) => Told {
                outcome: Outcome::Succeeded,
                exit_code: Some(0),
                note: None,
                saved,
                ..Told::new(Outcome::Succeeded, "")
            },
            Err(fault) => Told::stopped(fault.into()),
        }
    }
}

impl Keep {
    fn open(path: PathBuf) -> Result<Self, Stopped> {
        check_room(&path, 0)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| FileError::new("create", &path, error))?;
        Ok(Self {
            path,
            file,
            digest: Sha256::new(),
            size: 0,
            look_at: LOOK_AGAIN,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| FileError::new("write", &self.path, error))?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        if self.size >= self.look_at {
            self.look_at = self.size + LOOK_AGAIN;
            check_room(&self.path, self.size)?;
        }
        Ok(())
    }

    fn finish(self, path: PathBuf, save: &Save, spot: &Spot) -> Result<Saved, Fault> {
        let error = |verb, error| Fault::from(FileError::new(verb, &self.path, error));
        self.file.sync_all().map_err(|it| error("write", it))?;
        let file = match place::on_host(save, spot.names()) {
            Some(target) => Some(place::put(&self.path, &target)?),
            None => {
                fs::rename(&self.path, &path).map_err(|it| error("rename", it))?;
                None
            }
        };
        Ok(Saved {
            size: self.size,
            blob: BlobId::from_bytes(self.digest.finalize().into()),
            names: spot.names().clone(),
            file: file.map(|file| file.display().to_string()),
        })
    }
}

/// Refuses to fill the disk that everything on the host lives on.
fn check_room(path: &Path, written: u64) -> Result<(), Fault> {
    let folder = path.parent().unwrap_or(path);
    let disk = rustix::fs::statvfs(folder)
        .map_err(|error| FileError::new("measure", folder, error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let all = disk.f_blocks.saturating_mul(disk.f_frsize);
    if has_room(free, all) {
        return Ok(());
    }
    let what = format!(
        "the host's disk is nearly full: {} MiB are free",
        free / (1024 * 1024)
    );
    let fault =
        Fault::new(FaultKind::Failed, what).hint("free some space on the host, then deploy again");
    Err(match written {
        0 => fault,
        written => fault.cause(format!("{} MiB were written", written / (1024 * 1024))),
    })
}

fn has_room(free: u64, all: u64) -> bool {
    free >= LEAST_FREE && free >= all / LEAST_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_never_filled_up() {
        const GIB: u64 = 1024 * 1024 * 1024;
        assert!(has_room(GIB, 20 * GIB));
        assert!(!has_room(GIB - 1, 20 * GIB));
        assert!(!has_room(LEAST_FREE - 1, GIB));
        assert!(has_room(LEAST_FREE, GIB));
    }
}
