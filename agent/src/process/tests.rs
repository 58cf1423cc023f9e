//! Children that misbehave, each a real shell.

use std::path::Path;
use std::time::Instant;

use super::*;

fn shell(script: &str, environment: &[(&str, &str)]) -> Program {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Program {
        path: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        environment: environment.iter().map(pair).collect(),
        directory: "/".into(),
    }
}

fn within(deadline: Duration) -> Limits {
    Limits {
        deadline,
        stop: CancellationToken::new(),
    }
}

async fn run_all(script: &str, limits: &Limits) -> (Finished, Vec<String>) {
    let (sender, mut receiver) = mpsc::channel(16);
    let program = shell(script, &[]);
    let read = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    };
    let (finished, lines) = tokio::join!(run(&program, sender, limits), read);
    (finished.unwrap(), lines)
}

/// A kill takes effect a moment later. A zombie counts as dead: in a container nobody may be there to reap it.
async fn dies(pid: &str) -> bool {
    let stat = Path::new("/proc").join(pid).join("stat");
    for _ in 0..100 {
        if std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_arrive() {
    let script = "echo out; echo err >&2; printf 'no newline'; exit 7";
    let (finished, mut lines) = run_all(script, &within(Duration::from_secs(10))).await;
    assert_eq!(finished.how, How::Exited(7));
    lines.sort();
    assert_eq!(lines, ["err", "no newline", "out"]);
    assert_eq!(finished.tail.len(), 3);
}

#[tokio::test]
async fn a_signal_that_is_not_ours_is_told() {
    let (finished, _) = run_all("kill -9 $$", &within(Duration::from_secs(10))).await;
    assert_eq!(finished.how, How::Signalled(9));
}

#[tokio::test]
async fn a_grandchild_dies_at_the_deadline() {
    let script = "sleep 600 & echo $!; wait";
    let (finished, lines) = run_all(script, &within(Duration::from_millis(300))).await;
    assert_eq!(finished.how, How::TimedOut);
    assert!(dies(&lines[0]).await, "{lines:?}");
}

#[tokio::test]
async fn a_grandchild_does_not_outlive_a_child_that_ends_well() {
    let started = Instant::now();
    let (finished, lines) = run_all("sleep 600 & echo $!", &within(Duration::from_secs(60))).await;
    assert_eq!(finished.how, How::Exited(0));
    assert!(dies(&lines[0]).await);
    // The grandchild held both pipes; without the kill this would have taken the whole drain time.
    assert!(started.elapsed() < DRAIN, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_child_that_ignores_term_is_killed() {
    let script = "trap '' TERM; echo $$; while :; do sleep 1; done";
    let started = Instant::now();
    let (finished, lines) = run_all(script, &within(Duration::from_millis(200))).await;
    assert_eq!(finished.how, How::TimedOut);
    assert!(dies(&lines[0]).await);
    assert!(started.elapsed() >= GRACE);
    assert!(started.elapsed() < GRACE + DRAIN);
}

#[tokio::test]
async fn cancel_ends_the_child_at_once() {
    let limits = within(Duration::from_secs(60));
    let stop = limits.stop.clone();
    let started = Instant::now();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
    };
    let ((finished, _), ()) = tokio::join!(run_all("sleep 600", &limits), cancel);
    assert_eq!(finished.how, How::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn dropping_the_wait_kills_the_group() {
    let (sender, mut receiver) = mpsc::channel(1);
    let program = shell("sleep 600 & echo $!; wait", &[]);
    let limits = within(Duration::from_secs(60));
    let pid = tokio::select! {
        _ = run(&program, sender, &limits) => None,
        line = receiver.recv() => line,
    };
    assert!(dies(&pid.unwrap()).await);
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given_and_never_in_the_arguments() {
    let program = shell(
        "tr '\\0' ' ' </proc/$$/cmdline; echo; exec /usr/bin/env",
        &[("SECRET", "hunter22")],
    );
    let captured = capture(&program, 4096, &within(Duration::from_secs(10))).await;
    let output = String::from_utf8(captured.unwrap().stdout).unwrap();
    let (arguments, environment) = output.split_once('\n').unwrap();
    assert!(!arguments.contains("hunter22"));
    assert!(environment.contains("SECRET=hunter22"));
    // What the shell itself adds is all there is beside it.
    let own = ["SECRET=", "PWD=", "SHLVL=", "_=", "OLDPWD="];
    for line in environment.lines() {
        assert!(own.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[tokio::test]
async fn a_flood_that_nobody_reads_stays_bounded_and_ends() {
    // The queue holds one line and is never read: the deadline must count all the same.
    let (sender, _receiver) = mpsc::channel(1);
    let program = shell("while :; do echo flooding; done", &[]);
    let limits = within(Duration::from_millis(300));
    let started = Instant::now();
    let finished = run(&program, sender, &limits).await.unwrap();
    assert_eq!(finished.how, How::TimedOut);
    assert!(finished.tail.len() <= 100);
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_line_without_end_comes_in_pieces() {
    let script = "head -c 200000 /dev/zero | tr '\\0' x";
    let (_, lines) = run_all(script, &within(Duration::from_secs(10))).await;
    assert!(lines.iter().all(|line| line.len() <= 64 * 1024));
    assert_eq!(lines.iter().map(String::len).sum::<usize>(), 200_000);
}

#[tokio::test]
async fn capture_keeps_the_cap_and_reads_the_rest() {
    let program = shell("head -c 300000 /dev/zero; echo why >&2; exit 3", &[]);
    let captured = capture(&program, 1000, &within(Duration::from_secs(10))).await;
    let captured = captured.unwrap();
    assert_eq!((captured.how, captured.cut), (How::Exited(3), true));
    assert_eq!(captured.stdout.len(), 1000);
    assert_eq!(captured.stderr, ["why"]);
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let program = Program {
        path: "/nonexistent/compose".into(),
        ..shell("", &[])
    };
    let error = capture(&program, 1, &within(Duration::from_secs(1))).await;
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "cannot start /nonexistent/compose");
}
