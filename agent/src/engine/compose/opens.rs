//! Which files of a folder somebody opens, as inotify tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use proto::path::RelPath;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::engine::Placeholders;

/// Bytes read at once: dozens of events.
const BUFFER: usize = 4096;

/// Placeholders that are watched. Events wait in the kernel's queue, which holds 16,384 of them.
pub(super) struct Opens<'a> {
    placeholders: Placeholders<'a>,
    queue: Option<OwnedFd>,
    /// Which folder a watch is of, by its descriptor.
    folders: BTreeMap<i32, Option<RelPath>>,
}

impl<'a> Opens<'a> {
    /// Watches from now on.
    pub(super) fn watch(placeholders: Placeholders<'a>) -> io::Result<Self> {
        let mut opens = Self {
            placeholders,
            queue: None,
            folders: BTreeMap::new(),
        };
        let folders: BTreeSet<_> = placeholders.paths.iter().map(RelPath::parent).collect();
        for folder in folders {
            let queue = match &opens.queue {
                Some(queue) => queue,
                None => opens
                    .queue
                    .insert(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?),
            };
            let path = match &folder {
                Some(folder) => folder.under(placeholders.root),
                None => placeholders.root.to_owned(),
            };
            let watch = inotify::add_watch(queue, path, WatchFlags::OPEN)?;
            opens.folders.insert(watch, folder);
        }
        Ok(opens)
    }

    /// Which were opened until now.
    pub(super) fn seen(&self) -> io::Result<BTreeSet<RelPath>> {
        let mut seen = BTreeSet::new();
        let Some(queue) = &self.queue else {
            return Ok(seen);
        };
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = inotify::Reader::new(queue, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => return Ok(seen),
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::ISDIR) {
                continue;
            }
            let folder = self.folders.get(&event.wd());
            let name = event.file_name().and_then(|name| name.to_str().ok());
            let path = folder.zip(name).and_then(|(folder, name)| match folder {
                Some(folder) => folder.join(name).ok(),
                None => name.parse().ok(),
            });
            seen.extend(path.filter(|path| self.placeholders.paths.contains(path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_that_is_opened_is_told_and_no_other_file() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("sub/deep")).unwrap();
        let paths = ["a", "sub/deep/b", "sub/c"];
        for path in paths.iter().chain(&["real"]) {
            std::fs::write(at(path), "").unwrap();
        }
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        let placeholders = Placeholders {
            root: root.path(),
            paths: &paths,
            private: root.path(),
        };
        let opens = Opens::watch(placeholders).unwrap();
        assert!(opens.seen().unwrap().is_empty());
        for path in ["real", "sub/deep/b", "a", "a"] {
            std::fs::read(at(path)).unwrap();
        }
        std::fs::read_dir(at("sub/deep")).unwrap();
        std::fs::metadata(at("sub/c")).unwrap();
        let seen = opens.seen().unwrap();
        let seen: Vec<&str> = seen.iter().map(RelPath::as_str).collect();
        assert_eq!(seen, ["a", "sub/deep/b"]);
    }

    #[test]
    fn nothing_to_watch_takes_no_queue() {
        let opens = Opens::watch(Placeholders::none(std::path::Path::new("/nowhere"))).unwrap();
        assert!(opens.queue.is_none() && opens.seen().unwrap().is_empty());
    }
}
