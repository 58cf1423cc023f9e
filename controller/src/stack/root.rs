//! The folder that a stack's files come from: its own, or one above it that `root` names.

use std::path::{Path, PathBuf};

use proto::path::RelPath;

use super::{Named, StackError, absolute};
use crate::fleet::Stack;

/// A folder, and where the stack's own lies in it.
pub(super) struct Root {
    /// Absolute.
    pub(super) folder: PathBuf,
    own: Option<RelPath>,
}

/// The root of a stack whose own folder is `folder`.
pub(super) fn find(stack: &Stack, folder: &Path) -> Result<Root, StackError> {
    let root = absolute(&folder.join(&stack.root));
    let own = folder.strip_prefix(&root).unwrap_or(Path::new(""));
    let own = match own.to_str() {
        Some("") => None,
        Some(own) => Some(own.parse().map_err(|source| StackError::Path {
            by: format!("root of [stacks.{}]", stack.name),
            source,
        })?),
        None => {
            let (stack, folder) = (stack.name.clone(), folder.to_owned());
            return Err(StackError::NoFolder { stack, folder });
        }
    };
    Ok(Root { folder: root, own })
}

impl Root {
    /// Files of the stack's own folder, as paths of the root.
    pub(super) fn below(&self, named: Vec<Named>) -> Result<Vec<Named>, StackError> {
        let Some(own) = &self.own else {
            return Ok(named);
        };
        let below = |Named { path, by }: Named| match own.join(path.as_str()) {
            Ok(path) => Ok(Named { path, by }),
            Err(source) => Err(StackError::Path { by, source }),
        };
        named.into_iter().map(below).collect()
    }
}
