//! One server's files in a scratch root, and scripts that die at a named step.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// What the scripts change files with.
const CHANGING: [&str; 7] = ["chmod", "cp", "ln", "mkdir", "mv", "rm", "sync"];

/// Stands in for one of them: counts, and at its turn kills the script, before or after it has done its work.
const WRAPPER: &str = "#!/bin/sh
count=$(($(cat \"$COUNT\" 2>/dev/null || echo 0) + 1))
echo $count >\"$COUNT\"
[ \"$KILL\" != \"before $count\" ] || { kill -KILL $PPID; exit; }
PATH=$REAL
# What nobody takes the power from needs no disk.
[ ${0##*/} = sync ] || ${0##*/} \"$@\"
status=$?
[ \"$KILL\" != \"after $count\" ] || kill -KILL $PPID
exit $status
";

pub(crate) fn deploy() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().join("deploy")
}

pub(crate) fn write_program(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// One server's files.
pub(crate) struct Root {
    folder: TempDir,
}

impl Root {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for name in CHANGING {
            write_program(&folder.path().join("bin").join(name), WRAPPER);
        }
        Self { folder }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn lib(&self, name: &str) -> PathBuf {
        self.path("root/usr/local/lib/longshore").join(name)
    }

    /// An agent that notes that it ran and then does as `run` says.
    pub(crate) fn agent(&self, version: &str, run: &str) -> PathBuf {
        let path = self.path(&format!("agent-to-install-{version}"));
        let ran = self.path("ran");
        let ran = ran.display();
        let text = format!(
            "#!/bin/sh\n[ \"$1\" != version ] || {{ echo 'agent {version}'; exit; }}\n\
             echo {version} >>{ran}\n{run}\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn script(&self, script: &Path, kill: &str) -> Command {
        let mut command = Command::new(script);
        fs::remove_file(self.path("count")).ok();
        let real = "/usr/sbin:/usr/bin:/sbin:/bin";
        command
            .env_clear()
            .env("PATH", format!("{}:{real}", self.path("bin").display()))
            .env("REAL", real)
            .env("COUNT", self.path("count"))
            .env("KILL", kill)
            .env("DESTDIR", self.path("root"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn install_killed(&self, agent: &Path, kill: &str) -> Output {
        let mut command = self.script(&deploy().join("install.sh"), kill);
        command.arg(agent).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn install(&self, agent: &Path) -> String {
        let output = self.install_killed(agent, "");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// What was said when it was refused; nothing is left of what was tried.
    #[track_caller]
    pub(crate) fn refused(&self, agent: &Path, sum: Option<&str>) -> String {
        let mut command = self.script(&deploy().join("install.sh"), "");
        let output = command.arg(agent).args(sum).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(self.passing(), BTreeSet::new());
        said(&output)
    }

    /// Names that are there only while something is being done.
    pub(crate) fn passing(&self) -> BTreeSet<String> {
        let names = fs::read_dir(self.lib("")).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with('.') && name != ".lock")
            .collect()
    }

    pub(crate) fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.lib(name)).ok()?;
        Some(target.into_os_string().into_string().unwrap())
    }

    /// The version that a name leads to.
    pub(crate) fn version(&self, name: &str) -> Option<String> {
        let output = Command::new(self.lib(name)).arg("version").output().ok()?;
        Some(said(&output).trim().replace("agent ", ""))
    }

    /// A new agent beside the one in use, as the agent itself puts it there.
    pub(crate) fn put_next(&self, agent: &Path, tries: u32) {
        let name = agent.file_name().unwrap().to_str().unwrap();
        let name = name.replace("-to-install", "");
        write_program(&self.lib(&name), fs::read(agent).unwrap());
        symlink(&name, self.lib(&format!("next-{tries}"))).unwrap();
    }

    pub(crate) fn launch(&self, kill: &str) -> Launched {
        self.launch_within(30, kill)
    }

    /// Starts the agent; a new one has so many seconds.
    pub(crate) fn launch_within(&self, seconds: u32, kill: &str) -> Launched {
        let mut command = self.script(&self.lib("launch"), kill);
        // Not a pipe: whoever watches over a new agent holds it a little longer than that runs.
        let said = self.path("said");
        let status = command
            .arg("run")
            .env("LONGSHORE_TRIAL", seconds.to_string())
            .stderr(fs::File::create(&said).unwrap())
            .status()
            .unwrap();
        let said = fs::read_to_string(said).unwrap();
        Launched { status, said }
    }

    /// Which agents ran since this was last asked.
    pub(crate) fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("ran")).unwrap_or_default();
        fs::remove_file(self.path("ran")).ok();
        text.lines().map(str::to_owned).collect()
    }
}

/// How the agent ended, and what the launcher said.
pub(crate) struct Launched {
    pub(crate) status: ExitStatus,
    pub(crate) said: String,
}

pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

pub(crate) fn sum(path: &Path) -> String {
    let sum = Sha256::digest(fs::read(path).unwrap());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every step at which a script can die: `before 1`, `after 1`, and on until `done` says that it was not killed.
pub(crate) fn at_each_step(mut done: impl FnMut(&str) -> bool) -> u32 {
    for step in 1.. {
        for when in ["before", "after"] {
            if done(&format!("{when} {step}")) {
                return step;
            }
        }
    }
    unreachable!("a script has an end")
}
