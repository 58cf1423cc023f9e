//! Layers that many images share, packed once a process.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use flate2::Compression;

use crate::lab::error::{During, Result};
use crate::lab::layer::{Content, File, Layer};
use crate::lab::{System, fixture::binary};

/// The fixture, static.
pub(super) fn fixture() -> Result<Layer> {
    static LAYER: OnceLock<Layer> = OnceLock::new();
    once(&LAYER, || {
        let file = File {
            path: "fixture".to_owned(),
            mode: 0o755,
            content: Content::Bytes(read(&binary()?)?),
        };
        Layer::files(&[file], Compression::fast())
    })
}

/// What small stacks are made of.
const APPLETS: [&str; 16] = [
    "sh", "sleep", "cat", "echo", "env", "ls", "id", "grep", "head", "httpd", "mkdir", "nc", "rm",
    "touch", "tr", "wget",
];

/// Busybox and what images are expected to have.
pub(super) fn shell() -> Result<Layer> {
    static LAYER: OnceLock<Layer> = OnceLock::new();
    once(&LAYER, || {
        let content = Content::Bytes(read(&System::Debian13.folder().join("bin/busybox"))?);
        let busybox = File {
            path: "bin/busybox".to_owned(),
            mode: 0o755,
            content,
        };
        let applet = |name: &str| File {
            path: format!("bin/{name}"),
            mode: 0o777,
            content: Content::Link("busybox"),
        };
        let applets = APPLETS.map(applet);
        Layer::files(
            &[vec![busybox], applets.to_vec()].concat(),
            Compression::fast(),
        )
    })
}

fn once(cell: &OnceLock<Layer>, make: impl FnOnce() -> Result<Layer>) -> Result<Layer> {
    if let Some(layer) = cell.get() {
        return Ok(layer.clone());
    }
    let layer = make()?;
    Ok(cell.get_or_init(|| layer).clone())
}

fn read(path: &Path) -> Result<Arc<[u8]>> {
    Ok(std::fs::read(path)
        .during(|| format!("reading {}", path.display()))?
        .into())
}
