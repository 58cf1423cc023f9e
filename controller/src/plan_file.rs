//! Plans in a file, to be looked at by somebody and deployed later: exactly these or nothing. There is no secret in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use proto::fault::{Fault, FaultKind};
use proto::id::{ServiceName, StageId};
use proto::plan::{Plan, Scope};
use serde::{Deserialize, Serialize};

use crate::event::Place;
use crate::private;

/// The form that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// Bytes of the longest file: some thousand places.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The plan of one place, with what it takes to make it again there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlace {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What was brought to the host.
    pub stage: StageId,
    /// Registries that its images come from.
    pub registries: Vec<String>,
    /// Only these services; empty for all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceName>,
    /// Without what those depend on.
    #[serde(default)]
    pub no_deps: bool,
    /// What was shown.
    pub plan: Plan,
}

impl SavedPlace {
    /// What the plan was asked for.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match (self.services.is_empty(), self.no_deps) {
            (true, _) => Scope::Whole,
            (false, false) => Scope::WithDependencies(self.services.clone()),
            (false, true) => Scope::Alone(self.services.clone()),
        }
    }
}

/// Plans of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The form of the file.
    longshore_plan: u32,
    /// Whether the plans' orphans are removed.
    pub remove_orphans: bool,
    /// Each place once.
    pub places: Vec<SavedPlace>,
}

/// All that must be the same in every form.
#[derive(Deserialize)]
struct Head {
    longshore_plan: u32,
}

impl PlanFile {
    /// Plans to be written.
    #[must_use]
    pub fn new(remove_orphans: bool, places: Vec<SavedPlace>) -> Self {
        Self {
            longshore_plan: FORMAT,
            remove_orphans,
            places,
        }
    }

    /// Reads the text of a file; `path` is for people.
    ///
    /// # Errors
    /// When it is damaged, something else, or of another version.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Fault> {
        let path = path.display();
        let unfit = |what: String| {
            Fault::new(FaultKind::InvalidRequest, what)
                .hint("make one with: controller plan TARGET --out FILE")
        };
        let head: Head = serde_json::from_str(text).map_err(|error| {
            unfit(format!("{path} is not a plan, or is damaged")).cause(error.to_string())
        })?;
        if head.longshore_plan != FORMAT {
            let found = head.longshore_plan;
            let what = format!("{path} has form {found} of plans, and this version reads {FORMAT}");
            return Err(Fault::new(FaultKind::Unsupported, what)
                .hint("deploy it with the version of longshore that made it, or plan anew"));
        }
        let file: Self = serde_json::from_str(text)
            .map_err(|error| unfit(format!("{path} is damaged")).cause(error.to_string()))?;
        let places: BTreeSet<&Place> = file.places.iter().map(|one| &one.place).collect();
        if places.is_empty() || places.len() != file.places.len() {
            let what = format!("{path} is damaged: it names no place, or one twice");
            return Err(unfit(what));
        }
        Ok(file)
    }

    /// Reads a file. May block.
    ///
    /// # Errors
    /// When it cannot be read, and as [`Self::parse`] does.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let refused = |error: std::io::Error| {
            let what = format!("cannot read the plan {}", path.display());
            Fault::new(FaultKind::InvalidRequest, what).because(&error)
        };
        let mut text = String::new();
        let file = File::open(path).map_err(refused)?;
        file.take(LONGEST)
            .read_to_string(&mut text)
            .map_err(refused)?;
        Self::parse(path, &text)
    }

    /// Writes it whole, readable by its owner only: what a fleet runs is nobody else's business. May block.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Fault> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| {
            Fault::new(FaultKind::Internal, "the plan cannot be written").because(&error)
        })?;
        text.push('\n');
        Ok(private::write_secret(path, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::plan_of;
    use proto::plan::Action;
    use std::os::unix::fs::PermissionsExt as _;

    fn saved() -> PlanFile {
        let place = SavedPlace {
            place: Place {
                host: "emilia".parse().unwrap(),
                stack: "opq".parse().unwrap(),
            },
            stage: StageId::from_bytes([7; 32]),
            registries: vec!["docker.io".to_owned()],
            services: ["web".parse().unwrap()].into(),
            no_deps: true,
            plan: plan_of(Action::Create),
        };
        PlanFile::new(true, vec![place])
    }

    #[test]
    fn a_plan_comes_back_as_it_was_written_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.plan");
        saved().write(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = PlanFile::read(&path).unwrap();
        assert_eq!(read, saved());
        let web = ["web".parse().unwrap()].into();
        assert_eq!(read.places[0].scope(), Scope::Alone(web));
    }

    #[test]
    fn what_is_no_plan_says_what_is_wrong_with_it() {
        let refused = |text: &str| PlanFile::parse(Path::new("p.plan"), text).unwrap_err();
        let text = serde_json::to_string(&saved()).unwrap();
        let cut: String = text.chars().take(text.len() / 2).collect();
        for (text, said) in [
            ("", "is not a plan, or is damaged"),
            ("{\"a\": 1}", "is not a plan, or is damaged"),
            (&cut, "is not a plan, or is damaged"),
            (&text.replace("\"emilia\"", "\"../x\""), "is damaged"),
            (
                "{\"longshore_plan\":1,\"remove_orphans\":false,\"places\":[]}",
                "no place",
            ),
        ] {
            let fault = refused(text);
            assert_eq!(fault.kind, FaultKind::InvalidRequest);
            assert!(fault.what.contains(said), "{fault:?}");
            assert!(!fault.hints.is_empty());
        }
        let newer = refused(&text.replace("\"longshore_plan\":1", "\"longshore_plan\":2"));
        assert_eq!(newer.kind, FaultKind::Unsupported);
        let twice = PlanFile::new(false, [saved().places, saved().places].concat());
        let fault = refused(&serde_json::to_string(&twice).unwrap());
        assert!(fault.what.contains("one twice"), "{fault:?}");
    }
}
