//! The agent's process dies at named steps of a deploy, on a real engine: what the next agent makes of it is whole.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tests::full;
use tests::lab::until;

use crate::alone::{Alone, DIE};
use crate::whole::{Seen, claim_every_event_once, claim_whole};
use crate::world::{WEB, command, world};

/// What is in the volume before the first kill, and after the last.
const KEPT: &str = "what no deploy may lose";

/// What an operator does when the agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Brings the other version.
    Deploy,
    /// Brings the other version, which ends by itself: it is taken back.
    Sick,
    /// Goes back to the last revision.
    Back,
}

/// A host that has two versions of a stack of two services, with a mounted file and a volume.
struct Stage<'w> {
    alone: Alone<'w>,
    seen: Seen,
    rounds: u32,
}

impl<'w> Stage<'w> {
    fn new(alone: Alone<'w>) -> Self {
        let mut stage = Self {
            seen: claim_whole(&alone, "at first"),
            alone,
            rounds: 0,
        };
        stage.alone.restart_agent();
        for _ in 0..2 {
            stage.write(Deed::Deploy);
            stage.alone.deploy().done();
        }
        let name = stage.alone.name();
        let file = format!("/var/lib/docker/volumes/{name}_data/_data/kept");
        stage.alone.host.write_file(file, KEPT, 0o644).unwrap();
        stage.seen = claim_whole(&stage.alone, "before any kill");
        stage
    }

    /// A version that differs from all before in a mounted file, an image and a setting.
    fn write(&mut self, deed: Deed) {
        self.rounds += 1;
        let round = self.rounds;
        let web = match deed {
            Deed::Sick => WEB.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_EXIT_AFTER_MS: \"1\""),
            _ => WEB.to_owned(),
        };
        let volumes = "    volumes: [\"./conf:/conf:ro\", \"data:/data\"]\n    restart:";
        let web = web.replace("    restart:", volumes);
        let setting = format!("FIXTURE_SHOW: \"ROUND{round}\"");
        let db = WEB.replace("services:\n", "").replace("  web:", "  db:");
        let db = db
            .replace("${TAG}", "1")
            .replace("FIXTURE_SHOW: NOTHING", &setting);
        let case = &self.alone.case;
        case.write("compose.yaml", &format!("{web}{db}volumes:\n  data:\n"));
        case.write("conf/a.txt", &format!("round {round}"));
        case.write(".env", &format!("TAG={}\n", round % 2 + 1));
    }

    fn begin(&self, deed: Deed) -> Child {
        let name = self.alone.name();
        let words = match deed {
            Deed::Back => ["rollback", name, "--yes", "-o", "jsonl"],
            _ => ["deploy", name, "--yes", "-o", "jsonl"],
        };
        command(
            self.alone.case.folder.path(),
            &self.alone.case.home(),
            &words,
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
    }

    /// Lets the agent die at a step, starts another, and sees what is left; `false` when there is no such step.
    fn kill(&mut self, deed: Deed, step: &str) -> bool {
        if deed != Deed::Back {
            self.write(deed);
        }
        self.alone.host.write_file(DIE, step, 0o600).unwrap();
        let mut child = self.begin(deed);
        let died = until(step, Duration::from_secs(90), || {
            let died = self.alone.agent_has_ended();
            let over = child.try_wait().unwrap().is_some();
            (died || over).then_some(died)
        });
        let died = died.unwrap() || self.alone.agent_ends_soon();
        if died {
            self.alone.start_agent();
        } else {
            // One that lives on would count the steps of the next deed behind those of this one.
            self.alone.host.sh(&format!("rm -f {DIE}")).unwrap();
            self.alone.restart_agent();
        }
        let when = format!("{deed:?}, dead at {step}");
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        let code = ended.status.code().unwrap();
        if told.contains("\"event\":\"received\"") {
            claim_every_event_once(&told, &when);
        }
        self.claim(deed, code, &format!("{when}\n{told}\n{words}"));
        died
    }

    #[track_caller]
    fn claim(&mut self, deed: Deed, code: i32, when: &str) {
        let place = format!("{0}/{0}", self.alone.name());
        let attach = ["attach", &place, "-o", "jsonl"];
        claim_every_event_once(&self.alone.case.controller(&attach).out, when);
        // What a deploy leaves to be cleared up goes a moment after its end.
        let seen = claim_whole(&self.alone, when);
        match (code, deed) {
            (0, Deed::Deploy | Deed::Back) => {
                assert_ne!(seen.revision, self.seen.revision, "{when}");
            }
            // Nothing was begun, or nothing had been changed.
            (1, _) => assert_eq!(seen, self.seen, "{when}"),
            (3, Deed::Sick) => assert_eq!(seen.revision, self.seen.revision, "{when}"),
            // The agent went away before there was a deploy.
            (6, _) => assert_eq!(seen, self.seen, "{when}"),
            _ => panic!("exit code {code}: {when}"),
        }
        let name = self.alone.name();
        let line = format!(
            "cat /var/lib/docker/volumes/{name}_data/_data/kept; \
             docker inspect --format '{{{{.Config.Image}}}}' {name}-web-1; \
             cat /var/lib/longshore/stacks/{name}/project/.env /var/lib/longshore/stacks/{name}/project/conf/a.txt"
        );
        let there = self.alone.host.sh(&line).unwrap();
        assert!(there.starts_with(KEPT), "{when}\n{there}");
        let tag = there
            .split("TAG=")
            .nth(1)
            .unwrap()
            .split('\n')
            .next()
            .unwrap();
        assert!(
            there.contains(&format!("/org/web:{tag}\n")),
            "{when}\n{there}"
        );
        let round: u32 = there.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(tag, (round % 2 + 1).to_string(), "{when}\n{there}");
        self.seen = seen;
    }
}

/// The steps at which the fast run kills, each the first of its name unless it says otherwise.
const STEPS: [&str; 12] = [
    "1 stages",
    "1 request.json",
    "1 point.tmp",
    "1 point.json",
    "2 project",
    "1 before up",
    "6 compose_line",
    "1 after up",
    "1 verifying",
    "1 current.tmp",
    "1 current.json",
    "1 finished",
];

#[test]
fn an_agent_dead_at_any_named_step_leaves_old_or_new() {
    let Some(world) = world() else { return };
    let mut stage = Stage::new(Alone::new(world, "steps"));
    let began = Instant::now();
    for step in STEPS {
        assert!(stage.kill(Deed::Deploy, step), "there is no step {step}");
    }
    let took = began.elapsed().as_secs();
    full::report(&format!(
        "agent killed on a real engine: {} named steps in {took} s, each old or new",
        STEPS.len()
    ));
}

/// Sixty steps of each deed; the seed says at which step the first kill is and how the others follow.
#[test]
fn an_agent_dead_at_sixty_steps_of_each_deed_leaves_old_or_new() {
    if !full::wanted() {
        return;
    }
    let Some(world) = world() else { return };
    let mut stage = Stage::new(Alone::new(world, "sixty"));
    for (seed, deed) in [(1, Deed::Deploy), (2, Deed::Sick), (3, Deed::Back)] {
        // A step that never comes: the run tells how many there are. Every run before it has told of its own.
        stage.alone.host.sh("rm -f /run/die.steps").unwrap();
        assert!(!stage.kill(deed, "1 never"));
        let steps = stage.alone.host.sh("cat /run/die.steps; rm /run/die.steps");
        let steps = steps.unwrap().lines().count();
        let mut killed = 0;
        let mut at = seed;
        while killed < 60 {
            at = at * 7 % 997;
            killed += usize::from(stage.kill(deed, &(at % steps + 1).to_string()));
        }
        full::report(&format!(
            "agent killed on a real engine: {deed:?}, {killed} kills in {steps} steps, seed {seed}, each old or new"
        ));
    }
}
