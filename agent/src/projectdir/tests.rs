//! Files are replaced whole, never through a link, and stay whose they are.

use super::*;
use crate::store::Store;
use proto::id::BlobId;
use sha2::{Digest as _, Sha256};

struct Case {
    _state: tempfile::TempDir,
    project: tempfile::TempDir,
    store: Store,
}

fn case() -> Case {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path()).unwrap();
    Case {
        _state: state,
        project: tempfile::tempdir().unwrap(),
        store,
    }
}

fn ship(case: &Case, path: &str, mode: u32, content: &[u8]) -> ShippedFile {
    let blob = BlobId::from_bytes(Sha256::digest(content).into());
    let size = content.len() as u64;
    assert!(
        case.store
            .blobs()
            .receive(blob, size)
            .unwrap()
            .push(0, content)
            .unwrap()
    );
    ShippedFile {
        path: path.parse().unwrap(),
        mode,
        size,
        blob,
    }
}

#[test]
fn a_file_is_written_with_its_folders_and_mode() {
    let case = case();
    let dir = ProjectDir::open(case.project.path()).unwrap();
    let file = ship(&case, "conf/deep/run.sh", 0o750, b"#!/bin/sh\n");
    dir.write(&file, case.store.blobs()).unwrap();
    assert!(dir.holds(&file));
    dir.write(
        &ship(&case, "conf/deep/run.sh", 0o640, b"new"),
        case.store.blobs(),
    )
    .unwrap();
    assert!(!dir.holds(&file));
    let names = std::fs::read_dir(case.project.path().join("conf/deep"))
        .unwrap()
        .count();
    assert_eq!(names, 1, "no temporary file stays");
}

#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let case = case();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), case.project.path().join("conf")).unwrap();
    let dir = ProjectDir::open(case.project.path()).unwrap();
    for path in ["conf/a", "conf/deep/a"] {
        let fault = dir
            .write(&ship(&case, path, 0o644, b"x"), case.store.blobs())
            .unwrap_err();
        assert!(fault.hints[0].contains("symbolic link"), "{fault:?}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_a_files_place_is_replaced_not_followed() {
    let case = case();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), case.project.path().join("a")).unwrap();
    let dir = ProjectDir::open(case.project.path()).unwrap();
    dir.write(&ship(&case, "a", 0o644, b"x"), case.store.blobs())
        .unwrap();
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
    assert_eq!(std::fs::read(case.project.path().join("a")).unwrap(), b"x");
}

#[test]
fn what_is_replaced_keeps_its_owner_and_what_is_noted_of_it() {
    let case = case();
    let dir = ProjectDir::open(case.project.path()).unwrap();
    let here = case.project.path().join("a");
    std::fs::write(&here, "old").unwrap();
    let noted = rustix::fs::setxattr(&here, "user.note", b"mine", XattrFlags::empty());
    let root = rustix::process::geteuid().is_root();
    let id = if root {
        999
    } else {
        rustix::process::geteuid().as_raw()
    };
    let ownership = Ownership {
        uid: id,
        gid: if root {
            998
        } else {
            rustix::process::getegid().as_raw()
        },
        mode: 0o600,
    };
    let file = ship(&case, "a", 0o644, b"new");
    dir.write_as(&file, Some(ownership), case.store.blobs())
        .unwrap();
    let OnHost::File { ownership: now, .. } = dir.look(&file.path, None).unwrap() else {
        panic!("it is a file")
    };
    assert_eq!(now, ownership);
    if noted.is_ok() {
        let mut value = Vec::with_capacity(16);
        let spare = rustix::buffer::spare_capacity(&mut value);
        rustix::fs::getxattr(&here, "user.note", spare).unwrap();
        assert_eq!(value, b"mine");
    }
}

#[test]
fn a_folder_goes_only_if_nothing_but_folders_is_in_it() {
    let case = case();
    let dir = ProjectDir::open(case.project.path()).unwrap();
    std::fs::create_dir_all(case.project.path().join("a/b/c")).unwrap();
    std::fs::write(case.project.path().join("a/x"), "").unwrap();
    let folder: RelPath = "a".parse().unwrap();
    assert!(dir.remove_empty(&folder).is_err());
    assert!(case.project.path().join("a/x").exists());
    dir.remove(&"a/x".parse().unwrap()).unwrap();
    dir.remove_empty(&folder).unwrap();
    assert!(!case.project.path().join("a").exists());
}
