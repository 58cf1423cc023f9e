//! Scripts through this machine's own shells, with a `sudo` that is a script.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// A login on this machine: `shell -c LINE`, with `path` before the system's.
struct Here {
    shell: &'static str,
    noise: &'static str,
    path: String,
}

impl Login for Here {
    fn exec<'a>(
        &'a self,
        line: &'a str,
        mut input: Input<'a>,
        _limit: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let mut given = Vec::new();
            input.read_to_end(&mut given).await.unwrap();
            let mut child = Command::new(self.shell)
                .args(["-c", &format!("{}{line}", self.noise)])
                .env("PATH", format!("{}:/usr/bin:/bin", self.path))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let writer = std::thread::spawn(move || stdin.write_all(&given).ok());
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            Ok(Output {
                out: output.stdout,
                err: output.stderr,
            })
        })
    }

    fn user(&self) -> &'static str {
        "ops"
    }
}

/// Puts programs of our own where scripts look first.
fn programs(folder: &Path, all: &[(&str, &str)]) -> String {
    for (name, text) in all {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn login(path: String) -> Here {
    Here {
        shell: "sh",
        noise: "",
        path,
    }
}

fn never() -> Result<Zeroizing<String>, Fault> {
    panic!("nobody is to be asked")
}

fn server<'a>(login: &'a Here, rights: Rights, password: Option<&str>) -> Server<'a> {
    Server {
        login,
        rights,
        password: password.map(|text| Zeroizing::new(text.to_owned())),
    }
}

#[tokio::test]
async fn a_script_reads_its_input_and_its_code_comes_back_whatever_the_shell_prints() {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (shell, noise) in [
        ("sh", ""),
        ("bash", "echo Welcome; "),
        ("sh", "printf 'no newline'; "),
    ] {
        let here = Here {
            shell,
            noise,
            path: String::new(),
        };
        let server = server(&here, Rights::Own, None);
        let script = "sha256sum; echo oops >&2; exit 3";
        let ran = server
            .run(script, Box::new(bytes.as_slice()), SHORT)
            .await
            .unwrap();
        assert_eq!((ran.code, ran.err.as_str()), (3, "oops\n"));
        assert!(
            ran.out
                .starts_with(&crate::pki::hex(&<sha2::Sha256 as sha2::Digest>::digest(
                    &bytes
                )))
        );
        assert!(
            ran.done("adding up")
                .unwrap_err()
                .output
                .contains(&"oops".to_owned())
        );
    }
}

#[tokio::test]
async fn sudo_gets_its_password_as_the_first_line_and_the_script_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    // As sudo -S does: one line, byte by byte, then the command with what is left.
    let sudo = "while [ \"$1\" != -- ]; do shift; done; shift\nread -r given\n[ \"$given\" = opensesame ] || { echo 'Sorry, try again.' >&2; exit 1; }\nexec \"$@\"";
    let here = login(programs(folder.path(), &[("sudo", sudo)]));
    // The prologue of a script sets the path anew, so sudo is told where it is.
    let line = |password: &'static str| {
        let (mark, here) = (Mark::new(1), &here);
        async move {
            let line = script::line("cat", Rights::SudoPassword, &mark);
            let input = format!("{password}\nthe rest\n");
            let output = here
                .exec(&line, Box::new(input.as_bytes()), SHORT)
                .await
                .unwrap();
            (
                script::answer(&output.out, &mark),
                String::from_utf8(output.err).unwrap(),
            )
        }
    };
    let (answer, _) = line("opensesame").await;
    assert_eq!(answer.unwrap().out, b"the rest\n");
    let (answer, said) = line("wrong").await;
    assert_eq!(answer, None);
    assert!(said.contains("Sorry"));
}

#[tokio::test]
async fn a_login_without_a_shell_is_told_so() {
    let here = Here {
        shell: "sh",
        noise: "echo This account is currently not available.; exit 1; ",
        path: String::new(),
    };
    let fault = Server::become_root(&here, &never).await.err().unwrap();
    assert!(fault.what.contains("no shell"), "{fault:?}");
    assert!(
        fault
            .output
            .iter()
            .any(|line| line.contains("not available"))
    );
}

#[tokio::test]
async fn a_login_that_is_cut_in_a_step_is_told_so() {
    let here = login(String::new());
    let server = server(&here, Rights::Own, None);
    let ran = server.run("echo half; kill -9 $$", nothing(), SHORT).await;
    assert_eq!(ran.unwrap_err().kind, FaultKind::Unreachable);
}
