//! Programs that are asked about, run once, and told apart when they fail.

mod verbs;

use std::fs;

use super::*;
use crate::error::Failure;
use crate::terminal::Look;
use crate::terminal::capture::Capture;

const TTY: Look = Look {
    in_tty: true,
    out_tty: false,
    err_tty: true,
    colour: false,
    moves: false,
};

struct Desk {
    dir: tempfile::TempDir,
    capture: Capture,
    look: Look,
    leave: Leave,
}

impl Desk {
    fn new(typed: &str, look: Look) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            capture: Capture::new(typed),
            look,
            leave: Leave::new(),
        }
    }

    /// As a new invocation of the command would have them.
    fn programs(&self) -> Programs {
        let terminal = self.capture.terminal(self.look);
        Programs::new(self.dir.path().to_owned(), terminal)
    }

    fn confirmed(&self) -> Confirmed {
        Confirmed::new(self.dir.path().join("state/programs"))
    }

    async fn run(&self, wanted: &[Wanted], allowed: bool) -> Result<Printed, Ended> {
        let programs = self.programs();
        let confirmed = self.confirmed();
        programs
            .run(wanted.to_vec(), &confirmed, allowed, &self.leave)
            .await?;
        Ok(programs.printed())
    }

    /// What an operator would read.
    async fn failure(&self, script: &str) -> String {
        let failure = match self.run(&[wanted(script, "DB", 3)], true).await {
            Err(Ended::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        };
        self.shown(&failure)
    }

    fn shown(&self, failure: &Failure) -> String {
        let lines: Vec<String> = failure.lines().iter().map(ToString::to_string).collect();
        let root = self.dir.path().display().to_string();
        lines.join("\n").replace(&root, "/fleet")
    }

    fn runs(&self) -> String {
        fs::read_to_string(self.dir.path().join("runs")).unwrap_or_default()
    }
}

fn wanted(script: &str, name: &str, line: usize) -> Wanted {
    Wanted {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        values: vec![(name.parse().unwrap(), line)],
    }
}

#[test]
fn one_program_for_several_values_is_wanted_once() {
    let value = |word: &str, name: &str, line| (vec![word.to_owned()], name.parse().unwrap(), line);
    let all = Wanted::each_once([
        value("b", "B", 1),
        value("a", "A", 2),
        value("b", "C", 3),
        value("b", "B", 1),
    ]);
    let shown: Vec<String> = all
        .iter()
        .map(|one| format!("{} {}", one.shown(), one.names()))
        .collect();
    assert_eq!(
        shown,
        [
            "[\"b\"] B (fleet.toml line 1), C (fleet.toml line 3)",
            "[\"a\"] A (fleet.toml line 2)"
        ]
    );
}

#[tokio::test]
async fn programs_run_in_order_and_once_in_an_invocation() {
    let desk = Desk::new("", Look::default());
    let (a, b) = (
        wanted("echo a >>runs; echo 1", "A", 1),
        wanted("echo b >>runs; echo 2", "B", 2),
    );
    let programs = desk.programs();
    for all in [vec![b.clone(), a.clone()], vec![a.clone(), b.clone()]] {
        let confirmed = desk.confirmed();
        let ran = programs.run(all, &confirmed, true, &desk.leave);
        ran.await.unwrap();
    }
    assert_eq!(desk.runs(), "b\na\n");
    let printed = programs.printed();
    assert_eq!(
        (printed.get(&a.argv), printed.get(&b.argv)),
        (Some("1"), Some("2"))
    );
}

#[tokio::test]
async fn new_programs_are_all_shown_and_asked_for_once() {
    let desk = Desk::new("y\n", TTY);
    let all = [wanted("echo 1", "A", 1), wanted("echo '\x1b[2J'", "B", 2)];
    desk.run(&all, false).await.unwrap();
    insta::assert_snapshot!(desk.capture.err(), @r#"
    fleet.toml wants to run these programs on this workstation:
      ["sh", "-c", "echo 1"]  for A (fleet.toml line 1)
      ["sh", "-c", "echo '\u{1b}[2J'"]  for B (fleet.toml line 2)
    Run them? [y/N]
    "#);
    desk.run(&all, false).await.unwrap();
    let questions = || desk.capture.err().matches("Run them?").count();
    assert_eq!(questions(), 1, "asked again");
    desk.run(&[wanted("echo 2", "A", 1)], false).await.unwrap();
    assert_eq!(questions(), 2, "a changed program is a new one");
}

#[tokio::test]
async fn without_a_terminal_nothing_new_runs_and_the_flag_is_named() {
    let desk = Desk::new("y\n", Look::default());
    let all = [wanted("echo ran >runs; echo 1", "A", 1)];
    let Err(Ended::Failed(failure)) = desk.run(&all, false).await else {
        panic!("it ran")
    };
    insta::assert_snapshot!(desk.shown(&failure), @r#"
    error: there is no terminal to ask on: fleet.toml wants to run these programs on this workstation
        ["sh", "-c", "echo ran >runs; echo 1"]  for A (fleet.toml line 1)
    hint: pass --allow-commands to answer it
    "#);
    assert_eq!(failure.exit().code(), 64);
    assert_eq!(desk.runs(), "");
    desk.run(&all, true).await.unwrap();
    desk.run(&all, false).await.unwrap();
    assert_eq!(desk.runs(), "ran\n");
}

#[tokio::test]
async fn no_is_no_and_is_not_remembered() {
    let desk = Desk::new("n\n", TTY);
    let all = [wanted("echo ran >runs; echo 1", "A", 1)];
    let Err(Ended::Failed(failure)) = desk.run(&all, false).await else {
        panic!("it ran")
    };
    insta::assert_snapshot!(desk.shown(&failure), @r"
    error: the programs of fleet.toml may not run on this workstation
    hint: --env KEY=VALUE gives a value without its program
    ");
    assert_eq!(desk.runs(), "");
    assert!(!desk.confirmed().knows(&all[0].argv).unwrap());
}

#[tokio::test]
async fn a_failure_names_value_program_and_its_last_words_and_nothing_it_printed() {
    let desk = Desk::new("", Look::default());
    let mut shown = Vec::new();
    for script in [
        "echo canary; echo 'no such entry' >&2; exit 4",
        "kill -9 $$",
        "exit 0",
        "printf 'canary\\377'",
        "printf 'canary\\000'",
    ] {
        shown.push(desk.failure(script).await);
    }
    let missing = Wanted {
        argv: vec!["no-such-program-anywhere".to_owned()],
        ..wanted("", "DB", 3)
    };
    let Err(Ended::Failed(failure)) = desk.run(&[missing], true).await else {
        panic!("it ran")
    };
    shown.push(desk.shown(&failure));
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[tokio::test]
async fn leaving_ends_the_program_and_the_command() {
    let desk = Desk::new("", Look::default());
    let all = [wanted("echo x >runs; exec sleep 60", "A", 1)];
    let (ended, ()) = tokio::join!(desk.run(&all, true), async {
        while desk.runs().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        desk.leave.press();
    });
    assert!(matches!(ended, Err(Ended::Left)));
}
