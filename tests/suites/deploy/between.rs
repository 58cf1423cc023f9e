//! Stands between a host's Compose and its engine, and ends or freezes Compose right before one of its changes.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use tests::lab::{Host, until};

/// A file that is run instead of Compose's next `up`, when it is there.
pub(crate) const INSTEAD: &str = "/run/instead";

/// Found before the plugin that the host's package has.
const PLUGIN: &str = "/usr/local/lib/docker/cli-plugins/docker-compose";
const SCRIPT: &str = "#!/bin/sh
[ \"$1\" = --host ] && { shift 2; set -- --host unix:///run/between.sock \"$@\"; }
case \" $* \" in *' up '*) [ -x /run/instead ] && exec /run/instead \"$@\" ;; esac
exec /usr/libexec/docker/cli-plugins/docker-compose \"$@\"
";

/// What happens to Compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It dies.
    Kill,
    /// It does nothing any more, and does not end by itself or when asked.
    Freeze,
}

/// The place between the two.
#[derive(Clone)]
pub(crate) struct Between {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// At which change of the next Compose, and of the one after it.
    plans: VecDeque<(usize, Deed)>,
    plan: Option<(usize, Deed)>,
    /// The last Compose that changed something, and what it asked for.
    now: Option<Pid>,
    asked: Vec<String>,
    /// Those that something has happened to.
    struck: Vec<Pid>,
}

impl Between {
    /// In front of the engine that runs now, for every Compose that the host's next agent starts.
    pub(crate) fn of(host: &Host) -> Self {
        let between = Self {
            seen: Arc::default(),
        };
        let near = host.root().unwrap().join("run/between.sock");
        let far = host.docker_socket().unwrap();
        let listener = UnixListener::bind(near).unwrap();
        host.write_file(PLUGIN, SCRIPT, 0o755).unwrap();
        let own = between.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // The host may be gone, and Compose with it.
                let Ok(far) = UnixStream::connect(&far) else {
                    return;
                };
                let (from, to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                thread::spawn(move || copy(&from, &to, |bytes| (&to).write_all(bytes).is_ok()));
                let own = own.clone();
                thread::spawn(move || own.forth(&near, &far));
            }
        });
        between
    }

    /// Plans what happens to the next Compose that changes something, before its change of this number.
    pub(crate) fn at(&self, number: usize, deed: Deed) {
        self.seen().plans.push_back((number, deed));
    }

    /// What the last Compose asked for; forgets what was planned and did not happen.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut seen = self.seen();
        seen.plans.clear();
        seen.plan = None;
        seen.now = None;
        std::mem::take(&mut seen.asked)
    }

    /// Those that something has happened to, as this machine numbers them.
    pub(crate) fn struck(&self) -> Vec<Pid> {
        self.seen().struck.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what a Compose asks, one piece of all of its connections at a time: nothing slips past a deed.
    fn forth(&self, near: &UnixStream, mut far: &UnixStream) {
        let pid = socket_peercred(near).unwrap().pid;
        copy(near, far, |bytes| {
            let mut seen = self.seen();
            seen.let_pass(pid, bytes) && far.write_all(bytes).is_ok()
        });
    }
}

impl Seen {
    fn let_pass(&mut self, pid: Pid, bytes: &[u8]) -> bool {
        if self.struck.contains(&pid) {
            return false;
        }
        let Some(change) = change(bytes) else {
            return true;
        };
        if self.now.replace(pid) != Some(pid) {
            self.plan = self.plans.pop_front();
            self.asked.clear();
        }
        self.asked.push(change);
        let Some((_, deed)) = self.plan.filter(|(at, _)| *at == self.asked.len()) else {
            return true;
        };
        self.struck.push(pid);
        strike(pid, deed);
        false
    }
}

/// The first line of a request that changes something.
fn change(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let changes = ["POST /", "PUT /", "DELETE /"];
    let is_one = changes.iter().any(|verb| line.starts_with(verb));
    is_one.then(|| line.to_owned())
}

fn strike(pid: Pid, deed: Deed) {
    let signal = match deed {
        Deed::Kill => Signal::KILL,
        Deed::Freeze => Signal::STOP,
    };
    kill_process(pid, signal).unwrap();
    let stat = format!("/proc/{}/stat", pid.as_raw_pid());
    until("the signal to arrive", Duration::from_secs(10), || {
        let stat = fs::read_to_string(&stat).unwrap_or_default();
        let still = [") T ", ") Z ", ") X "];
        (stat.is_empty() || still.iter().any(|state| stat.contains(state))).then_some(())
    })
    .unwrap();
}

/// Hands on pieces until the end, or until one is refused; then nothing more goes either way.
fn copy(mut from: &UnixStream, to: &UnixStream, mut hand_on: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !hand_on(bytes.get(..count).unwrap_or_default()) {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
