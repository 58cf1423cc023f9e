//! The examples of `deploy/examples`, each test with a copy of its own, and what the engine tells about them.

use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use tests::example::Example;
use tests::lab::{Cmd, Process};

use crate::world::{Case, World};

/// Copies an example under another project name, so that tests do not meet; its images are in the registry then.
pub(crate) fn example<'w>(world: &'w World, name: &str, project: &str) -> Case<'w> {
    let folder = tempfile::tempdir().unwrap();
    let example = Example::copy(name, folder.path(), &world.registry).unwrap();
    pushed(world, &example);
    let case = world.case_in(project, folder);
    for file in [".env", "trial.env"] {
        let path = format!("{name}/{file}");
        if case.folder.path().join(&path).exists() {
            let (old, new) = (
                format!("PROJECT_NAME={name}"),
                format!("PROJECT_NAME={project}"),
            );
            edit(&case, &path, &old, &new);
        }
    }
    // As `init` and `host approve` leave it.
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(&format!("[stacks.{name}"), &format!("[stacks.{project}"));
    let stacks: toml::Table = toml::from_str(&text).unwrap();
    let stacks: Vec<&String> = stacks["stacks"].as_table().unwrap().keys().collect();
    let head = format!(
        "[fleet]\nname = \"opq\"\nca = \"ca.pem\"\ncrl = \"revoked.crl\"\n\n\
         [hosts.emilia]\naddress = \"{}:7433\"\nstacks = {stacks:?}\n\n",
        world.emilia.ip()
    );
    fs::write(&file, head + &text).unwrap();
    case
}

/// Replaces a text in a file of the fleet's folder that must have it.
#[track_caller]
pub(crate) fn edit(case: &Case<'_>, file: &str, old: &str, new: &str) {
    let path = case.folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{old:?} is not in {file}:\n{text}");
    fs::write(&path, text.replace(old, new)).unwrap();
}

fn pushed(world: &World, example: &Example) {
    static PUSHED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut pushed = PUSHED.lock().unwrap();
    if !example.images().iter().all(|image| pushed.contains(image)) {
        example.push_images(&world.registry).unwrap();
        pushed.extend_from_slice(example.images());
    }
}

/// What the engine says of a stack's containers from now on, with its own times.
pub(crate) struct Story(Process);

impl Story {
    pub(crate) fn from_now(world: &World, case: &Case<'_>) -> Self {
        let since = world.emilia.sh("date +%s.%N").unwrap();
        let project = format!("label=com.docker.compose.project={}", case.stack);
        let format =
            "{{.TimeNano}} {{index .Actor.Attributes \"com.docker.compose.service\"}} {{.Action}}.";
        let words = [
            "docker",
            "events",
            "--since",
            since.trim(),
            "--filter",
            "type=container",
        ];
        let words = words
            .into_iter()
            .chain(["--filter", &project, "--format", format]);
        Self(world.emilia.spawn(&Cmd::new(words)).unwrap())
    }

    /// When something first happened, as in `postgres health_status: healthy`.
    #[track_caller]
    pub(crate) fn first(&self, what: &str) -> u128 {
        let line = format!(" {what}.");
        self.0.wait_for(&line, Duration::from_secs(10)).unwrap();
        let told = self.0.output();
        let line = told.lines().find(|told| told.ends_with(&line)).unwrap();
        let (time, _) = line.split_once(' ').unwrap();
        time.parse().expect(line)
    }

    #[track_caller]
    pub(crate) fn in_order(&self, before: &str, after: &str) {
        let (first, second) = (self.first(before), self.first(after));
        assert!(
            first < second,
            "{after:?} came before {before:?}:\n{}",
            self.0.output()
        );
    }
}
