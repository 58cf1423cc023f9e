//! Stacks that were started on the server by hand: taken over as they run, and brought back as they were found.

use crate::world::{Case, Ended, WEB, World, world};

/// Beside `web`: its settings come from the shell of whoever starts it, as a JSON document.
const MORE: &str = "  settings:
    image: ${REGISTRY}/org/web:1
    container_name: CASE-settings
    environment: { SETTINGS: \"${SETTINGS}\", HOME_DIR: \"$$HOME\" }
    restart: always
    volumes: [\"./data/nginx:/etc/nginx:ro\", \"/var/CASE:/hostvar\", \"kept:/kept\"]
    healthcheck: { test: [CMD, /fixture, health], interval: 500ms, timeout: 5s, retries: 3 }
  files:
    image: ${REGISTRY}/org/web:1
    env_file: [one.env]
    healthcheck: { test: [CMD, /fixture, health], interval: 500ms, timeout: 5s, retries: 3 }
  inner:
    image: ${REGISTRY}/org/web:1
    network_mode: \"service:files\"
    environment: { FIXTURE_PORT: \"8099\" }
volumes: { kept: {} }
";

const SETTINGS: &str = "{\"uri\": \"mongodb://a:canary78@mongo\", \"cost\": \"$5 '\\\"\"}";

/// A stack on the workstation, and the same in a folder of the server.
struct ByHand<'w> {
    world: &'w World,
    case: Case<'w>,
    folder: String,
}

impl<'w> ByHand<'w> {
    /// Copied to the server and started there.
    fn started(world: &'w World, name: &str) -> Self {
        let by_hand = Self {
            world,
            case: world.case(name),
            folder: format!("/srv/{name}"),
        };
        let case = &by_hand.case;
        case.write(
            "compose.yaml",
            &format!("{WEB}{}", MORE.replace("CASE", name)),
        );
        case.write("data/nginx/a.conf", "listen 80;\n");
        case.write("one.env", "FROM_FILE=${TAG}x\n");
        std::fs::write(case.folder.path().join("settings.json"), SETTINGS).unwrap();
        by_hand.fleet(&by_hand.folder);
        by_hand.copy();
        by_hand.up();
        by_hand
    }

    /// `fleet.toml` with the stack's folder on emilia, or without one.
    fn fleet(&self, dir: &str) {
        let case = &self.case;
        case.fleet("SETTINGS = { file = \"settings.json\" }\n");
        if dir.is_empty() {
            return;
        }
        let path = case.folder.path().join("fleet.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let line = format!("[hosts.emilia]\ndir = {{ {} = \"{dir}\" }}\n", case.stack);
        std::fs::write(path, text.replace("[hosts.emilia]\n", &line)).unwrap();
    }

    /// `scp -r` onto the server.
    fn copy(&self) {
        let source = self.case.path("");
        let pack = std::process::Command::new("tar")
            .args(["-C", source.to_str().unwrap(), "-c", "."])
            .output()
            .unwrap();
        let unpack = format!("mkdir -p {0} && tar -C {0} --no-same-owner -x", self.folder);
        let unpack = tests::lab::Cmd::new(["sh", "-c", &unpack]).input(pack.stdout);
        self.world.emilia.exec(&unpack).unwrap().ok().unwrap();
    }

    /// Plain Docker Compose in the folder, with what the run script exports.
    fn compose(&self, words: &str) -> String {
        let registry = self.world.registry.address();
        let settings = SETTINGS.replace('\'', "'\\''");
        let line = format!(
            "cd {} && REGISTRY={registry} SETTINGS='{settings}' docker compose -p {} {words} 2>&1",
            self.folder, self.case.stack
        );
        self.world.emilia.sh(&line).unwrap()
    }

    fn up(&self) {
        self.compose("up -d --quiet-pull");
    }

    /// Every container with its id and when it was started.
    fn lives(&self) -> String {
        let label = format!("label=com.docker.compose.project={}", self.case.stack);
        let list = format!("docker ps -aq --filter {label}");
        let format = "{{.Name}} {{.Id}} {{.State.StartedAt}}";
        let line = format!("{list} | xargs docker inspect --format '{format}' | sort");
        self.world.emilia.sh(&line).unwrap()
    }

    /// The line of one service.
    fn life(&self, service: &str) -> String {
        let lives = self.lives();
        let line = lives
            .lines()
            .find(|line| line.contains(&format!("-{service}")));
        line.unwrap_or_default().to_owned()
    }

    fn adopt(&self) -> Ended {
        self.case
            .controller(&["deploy", "emilia", "--yes", "--adopt"])
    }
}

impl Drop for ByHand<'_> {
    fn drop(&mut self) {
        drop(self.world.emilia.sh(&format!("rm -rf {}", self.folder)));
    }
}

#[test]
fn an_unchanged_stack_is_adopted_as_it_runs() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "asitruns");
    let before = hand.lives();
    hand.case
        .controller(&["plan", "emilia", "--adopt"])
        .with(2, &["takes over project asitruns", "/srv/asitruns", "keep"]);
    let said = hand.adopt().done();
    assert!(said.contains("nothing else changes"), "{said}");
    assert_eq!(hand.lives(), before);
    let again = hand.case.deploy().done();
    assert!(again.contains("nothing to change"), "{again}");
    // Whoever goes on by hand sees the same project.
    hand.up();
    assert_eq!(hand.lives(), before);
    assert!(hand.compose("ps").contains("asitruns-settings"));
    let history = hand.case.controller(&["history", "emilia"]).done();
    assert!(
        history.contains("taken over from /srv/asitruns"),
        "{history}"
    );
    assert!(history.contains("started by hand"), "{history}");
    let found = "grep -rl canary78 /var/lib/longshore/deploys || true";
    assert_eq!(world.emilia.sh(found).unwrap(), "");
}

#[test]
fn one_changed_service_is_made_anew_and_the_others_stay() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "onechanged");
    let before = ["settings", "files", "inner"].map(|service| hand.life(service));
    let web = hand.life("web");
    hand.case.write(".env", "TAG=2\n");
    // Only `web` takes its version from there, but the env file names it too.
    hand.case.write("one.env", "FROM_FILE=1x\n");
    hand.adopt().done();
    let after = ["settings", "files", "inner"].map(|service| hand.life(service));
    assert_eq!(after, before);
    assert_ne!(hand.life("web"), web);
    assert!(hand.case.containers().contains("web org/web:2 running"));
    assert!(hand.case.deploy().done().contains("nothing to change"));
}

#[test]
fn a_bad_version_goes_back_to_what_was_found() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "foundagain");
    let kept = ["settings", "files"].map(|service| hand.life(service));
    let bad = WEB.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_NEVER_HEALTHY: \"1\"");
    let compose = format!("{bad}{}", MORE.replace("CASE", "foundagain"));
    hand.case.write("compose.yaml", &compose);
    hand.case.write("new.txt", "new");
    let found = hand.compose("config --hash web");
    hand.adopt()
        .with(3, &["web did not become healthy", "back as it was found"]);
    assert_eq!(
        ["settings", "files"].map(|service| hand.life(service)),
        kept
    );
    assert!(hand.case.containers().contains("web org/web:1 running"));
    // The files are those of before: by hand nothing would be made anew.
    let lives = hand.lives();
    assert_eq!(hand.compose("config --hash web"), found);
    hand.up();
    assert_eq!(hand.lives(), lives);
    let there = format!("ls {}", hand.folder);
    assert!(!world.emilia.sh(&there).unwrap().contains("new.txt"));
}

#[test]
fn in_a_pipe_it_is_refused_with_what_to_do() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "inapipe");
    let before = hand.lives();
    hand.case.deploy().with(
        1,
        &[
            "a project named inapipe already runs here and was not started by longshore",
            "it was started from /srv/inapipe",
            "take it over as it runs: controller deploy --adopt",
        ],
    );
    assert_eq!(hand.lives(), before);
}

#[test]
fn a_stack_that_would_move_is_refused_with_the_line_to_write() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "wouldmove");
    let before = hand.lives();
    hand.fleet("");
    let line = "dir = { wouldmove = \"/srv/wouldmove\" }";
    hand.case
        .deploy()
        .with(1, &[line, "controller deploy --adopt"]);
    hand.adopt().with(1, &[line, "would move"]);
    assert_eq!(hand.lives(), before);
    hand.fleet("/srv/wouldmove");
    hand.adopt().done();
    assert_eq!(hand.lives(), before);
}

#[test]
fn a_service_that_was_stopped_by_hand_is_started_and_a_one_off_is_left_alone() {
    let Some(world) = world() else { return };
    let hand = ByHand::started(world, "stopped");
    hand.compose("stop web");
    hand.compose("run -d --no-deps --name stopped-tool files");
    let tool = world
        .emilia
        .sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' stopped-tool");
    let tool = tool.unwrap();
    hand.case
        .controller(&["plan", "emilia", "--adopt"])
        .with(2, &["start", "web"]);
    let kept = hand.life("settings");
    hand.adopt().done();
    assert!(hand.case.containers().contains("web org/web:1 running"));
    assert_eq!(hand.life("settings"), kept);
    let after = world
        .emilia
        .sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' stopped-tool");
    assert_eq!(after.unwrap(), tool);
}
