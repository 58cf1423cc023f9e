//! Writes the man pages into a folder, for `deploy/man`; what ships has none of this in it.
#![allow(
    clippy::unwrap_used,
    reason = "a tool of the workspace: every failure is a panic"
)]

mod pages;
mod words;

use std::path::PathBuf;

fn main() {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.expect("the folder to write into");
    for page in pages::all() {
        let section = folder.join(format!("man{}", page.section));
        std::fs::create_dir_all(&section).unwrap();
        std::fs::write(section.join(page.file()), &page.text).unwrap();
    }
}
