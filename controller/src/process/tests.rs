//! What a program can do wrong, and that nothing of it stays.

use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;

fn shell<'a>(args: &'a [&'a str], deadline: u64, output_limit: usize) -> Program<'a> {
    Program {
        name: "sh",
        args,
        stdin: b"input",
        search_path: None,
        deadline: Duration::from_millis(deadline),
        output_limit,
    }
}

#[tokio::test]
async fn a_program_is_fed_and_heard() {
    let args = ["-c", "cat; echo oops >&2; exit 3"];
    let ended = run(&shell(&args, 5000, 100)).await.unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(ended.stdout.as_slice(), b"input");
    assert_eq!(ended.stderr.as_slice(), b"oops\n");
}

#[tokio::test]
async fn a_program_that_does_not_read_is_no_error() {
    let big = vec![b'x'; 1 << 20];
    let args = ["-c", "exit 0"];
    let program = Program {
        stdin: &big,
        ..shell(&args, 5000, 100)
    };
    assert!(run(&program).await.unwrap().status.success());
}

#[tokio::test]
async fn the_deadline_ends_the_children_too() {
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    let script = format!("(sleep 1; touch {}) & sleep 30", alive.display());
    let start = Instant::now();
    let ended = run(&shell(&["-c", &script], 200, 100)).await;
    assert!(matches!(ended, Err(ProcessError::Deadline(_))));
    assert!(start.elapsed() < Duration::from_secs(5));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!alive.exists(), "the grandchild went on");
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let args = ["-c", "yes"];
    let ended = run(&shell(&args, 5000, 1000)).await;
    assert!(matches!(ended, Err(ProcessError::TooMuch(1000))));
}

#[tokio::test]
async fn a_child_that_keeps_the_pipes_does_not_hold_up_the_answer() {
    let start = Instant::now();
    let args = ["-c", "sleep 3 & echo done"];
    let ended = run(&shell(&args, 20_000, 100)).await.unwrap();
    assert_eq!(ended.stdout.as_slice(), b"done\n");
    assert!(start.elapsed() < Duration::from_millis(2500));
}

#[tokio::test]
async fn a_missing_program_is_said_to_be_missing() {
    let program = Program {
        name: "no-such-program-anywhere",
        ..shell(&[], 1000, 10)
    };
    assert!(matches!(run(&program).await, Err(ProcessError::NotFound)));
}

fn words(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

fn tool<'a>(argv: &'a [String], directory: &'a Path, terminal: bool) -> Tool<'a> {
    Tool {
        argv,
        directory,
        terminal,
        deadline: Duration::from_secs(20),
        output_limit: 100,
    }
}

/// Until `holds`, 10 s at most.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap();
}

/// Whether the process whose id `file` holds is gone, or only waits to be buried.
fn gone(file: &Path) -> bool {
    let id = std::fs::read_to_string(file).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[tokio::test]
async fn a_tool_runs_in_its_folder_and_reads_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("tool");
    std::fs::write(&script, "#!/bin/sh\ncat; pwd; echo oops >&2; exit 3\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let argv = ["./tool".to_owned()];
    let told = run_tool(&tool(&argv, dir.path(), false), pending()).await;
    assert_eq!(told.ended.unwrap().code(), Some(3));
    let here = format!("{}\n", dir.path().canonicalize().unwrap().display());
    assert_eq!(told.stdout.as_slice(), here.as_bytes());
    assert_eq!(told.stderr.as_slice(), b"oops\n");
}

#[tokio::test]
async fn a_tool_that_complains_at_length_keeps_its_last_words() {
    let argv = words("i=0; while [ $i -lt 9000 ]; do echo word-$i; i=$((i+1)); done >&2; echo ok");
    let told = run_tool(&tool(&argv, Path::new("/"), false), pending()).await;
    assert!(told.ended.unwrap().success());
    assert!(told.stderr.ends_with(b"word-8999\n"));
    assert!(told.stderr.len() < 64 * 1024);
}

#[tokio::test]
async fn a_tool_that_is_left_ends_with_its_children_on_a_terminal_too() {
    for terminal in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (begun, child) = (dir.path().join("begun"), dir.path().join("child"));
        // The child does not mind TERM; both have to go.
        let argv = words("trap '' TERM; sleep 60 & echo $! >child; mv child begun; wait; wait");
        let stop = until(|| begun.exists());
        let start = Instant::now();
        let told = run_tool(&tool(&argv, dir.path(), terminal), stop).await;
        assert!(matches!(told.ended, Err(ProcessError::Left)), "{terminal}");
        assert!(start.elapsed() < Duration::from_secs(15), "{terminal}");
        assert!(!child.exists());
        until(|| gone(&begun)).await;
    }
}

#[tokio::test]
async fn a_tool_has_a_deadline_a_limit_and_a_name() {
    let argv = words("echo why >&2; sleep 60");
    let hasty = Tool {
        deadline: Duration::from_millis(300),
        ..tool(&argv, Path::new("/"), false)
    };
    let told = run_tool(&hasty, pending()).await;
    assert!(matches!(told.ended, Err(ProcessError::Deadline(_))));
    assert_eq!(told.stderr.as_slice(), b"why\n");

    let argv = words("yes");
    let told = run_tool(&tool(&argv, Path::new("/"), false), pending()).await;
    assert!(matches!(told.ended, Err(ProcessError::TooMuch(100))));

    let argv = ["no-such-program-anywhere".to_owned()];
    let told = run_tool(&tool(&argv, Path::new("/"), false), pending()).await;
    assert!(matches!(told.ended, Err(ProcessError::NotFound)));
}
