//! What a disk holds for certain: contents since their last sync, names since their folder's; the rest a power cut may take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use agent::witness::disk::{self, Call};

use crate::chance::Chance;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File(Vec<u8>),
}

/// The certain part of everything below a root.
pub(crate) struct Durable {
    root: PathBuf,
    names: BTreeMap<PathBuf, Node>,
    /// Contents that are synced, by the name that they have now.
    contents: BTreeMap<PathBuf, Vec<u8>>,
    /// What was asked last is done by now.
    pending: Option<(Step, PathBuf)>,
}

enum Step {
    Sync,
    Rename(PathBuf),
    SyncDir,
    Other,
}

impl Durable {
    /// All that is there now is certain; from here on it is followed through every call, and `each` is told of it
    /// before each call that changes something.
    pub(crate) fn follow(
        root: &Path,
        each: impl Fn(&Arc<Mutex<Self>>) + Send + Sync + 'static,
    ) -> disk::Watched {
        let mut names = BTreeMap::new();
        read(root, root, &mut names);
        let contents = names.iter().filter_map(|(path, node)| match node {
            Node::File(content) => Some((path.clone(), content.clone())),
            Node::Folder => None,
        });
        let durable = Self {
            root: root.to_owned(),
            contents: contents.collect(),
            names,
            pending: None,
        };
        let durable = Arc::new(Mutex::new(durable));
        disk::watch(root, move |call, path| {
            if call != Call::Read {
                durable.lock().unwrap().before(call, path);
                each(&durable);
            }
            Ok(())
        })
    }

    fn before(&mut self, call: Call<'_>, path: &Path) {
        self.finish();
        let step = match call {
            Call::Sync => Step::Sync,
            Call::Rename(from) => Step::Rename(self.below(from)),
            Call::SyncDir => Step::SyncDir,
            _ => Step::Other,
        };
        self.pending = Some((step, self.below(path)));
    }

    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    /// What was asked before has been done.
    fn finish(&mut self) {
        match self.pending.take() {
            Some((Step::Sync, path)) => {
                if let Ok(content) = std::fs::read(self.root.join(&path)) {
                    // A file that has its name for certain gets its content with it.
                    if let Some(node @ Node::File(_)) = self.names.get_mut(&path) {
                        *node = Node::File(content.clone());
                    }
                    self.contents.insert(path, content);
                }
            }
            Some((Step::Rename(from), to)) => {
                if let Some(content) = self.contents.remove(&from) {
                    self.contents.insert(to, content);
                }
            }
            Some((Step::SyncDir, folder)) => self.list(&folder),
            Some((Step::Other, _)) | None => {}
        }
    }

    fn list(&mut self, folder: &Path) {
        let mut now = BTreeMap::new();
        for entry in std::fs::read_dir(self.root.join(folder))
            .into_iter()
            .flatten()
        {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let node = if entry.file_type().unwrap().is_dir() {
                Node::Folder
            } else {
                // Never synced: the name is there and nothing in it.
                Node::File(self.contents.get(&path).cloned().unwrap_or_default())
            };
            now.insert(path, node);
        }
        self.names.retain(|path, _| {
            let above = path.parent().is_some_and(|parent| parent == folder);
            !above || now.contains_key(path)
        });
        // What is below a folder that is gone is gone with it.
        let names = std::mem::take(&mut self.names);
        let gone = |path: &Path, names: &BTreeMap<PathBuf, Node>| {
            path.ancestors().skip(1).any(|above| {
                above.parent() == Some(folder) && above != folder && !names.contains_key(above)
            })
        };
        let kept = names
            .iter()
            .filter(|(path, _)| !gone(path, &names))
            .map(|(path, node)| (path.clone(), node.clone()));
        self.names = kept.collect();
        self.names.extend(now);
    }

    /// Lays out what a power cut now would leave: what is certain, and of the rest what chance says.
    pub(crate) fn cut(&self, to: &Path, chance: Option<&mut Chance>) {
        let mut left = self.names.clone();
        if let Some(chance) = chance {
            let mut real = BTreeMap::new();
            read(&self.root, &self.root, &mut real);
            for (path, node) in &real {
                if left.get(path) != Some(node) && chance.one_in(2) {
                    left.insert(path.clone(), torn(node, self.names.get(path), chance));
                }
            }
            left.retain(|path, _| real.contains_key(path) || !chance.one_in(2));
        }
        std::fs::create_dir_all(to).unwrap();
        for (path, node) in &left {
            let there = path.parent().is_none_or(|above| {
                above.as_os_str().is_empty() || matches!(left.get(above), Some(Node::Folder))
            });
            match node {
                Node::Folder if there => std::fs::create_dir_all(to.join(path)).unwrap(),
                Node::File(content) if there && to.join(path).parent().unwrap().is_dir() => {
                    std::fs::write(to.join(path), content).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// A content that is on its way: all of it, what was there, or that and a part of what came behind it.
fn torn(node: &Node, certain: Option<&Node>, chance: &mut Chance) -> Node {
    let (Node::File(new), Some(Node::File(old))) = (node, certain) else {
        return node.clone();
    };
    if new.starts_with(old) {
        let more = chance.below(new.len() - old.len() + 1);
        return Node::File(new[..old.len() + more].to_vec());
    }
    node.clone()
}

fn read(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Node>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Room that is kept free is nothing to lose.
        if path.ends_with("reserve") || path.ends_with("staging") {
            continue;
        }
        let below = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            found.insert(below, Node::Folder);
            read(root, &path, found);
        } else {
            found.insert(below, Node::File(std::fs::read(&path).unwrap()));
        }
    }
}
