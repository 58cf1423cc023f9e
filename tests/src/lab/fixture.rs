//! The fixture's binary, built static so that an image needs nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::error::{During, LabError, Result};

/// The path of the static fixture, built by this on first use; `LONGSHORE_FIXTURE` names one built elsewhere.
///
/// # Errors
/// When it does not build.
pub fn binary() -> Result<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    if let Some(given) = std::env::var_os("LONGSHORE_FIXTURE") {
        return Ok(given.into());
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*built {
        return Ok(path.clone());
    }
    let path = build()?;
    *built = Some(path.clone());
    Ok(path)
}

fn build() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let static_link = format!("target.{target}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "-q",
            "-p",
            "fixture",
            "--release",
            "--target",
            &target,
            "--config",
            &static_link,
        ])
        .arg("--message-format=json")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        // It would win over the flags above.
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .during(|| "starting cargo".to_owned())?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs =
        built.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    programs
        .find(|path| path.ends_with("fixture"))
        .ok_or_else(|| LabError::Other("the fixture does not build".to_owned()))
}
