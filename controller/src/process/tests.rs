//! What a program can do wrong, and that nothing of it stays.

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
