//! A host's dockerd: start, stop, kill, and whether it answers.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Host;
use crate::lab::command::Cmd;
use crate::lab::error::{LabError, Result};
use crate::lab::{http, wait};

/// An engine with containers to restore takes longer than an empty one.
const DEADLINE: Duration = Duration::from_secs(60);

impl Host {
    /// Starts dockerd and waits until it answers.
    ///
    /// # Errors
    /// When it does not; the message ends with its log.
    pub fn start_docker(&self) -> Result<()> {
        // The cgroup of its own keeps hosts apart on the machine that they share. Docker's own pools end after some thirty
        // networks, and a suite has more stacks.
        let parent = format!("/longshore-{}/{}", self.run.net().bridge(), self.name());
        self.sh(&format!(
            "setsid dockerd --containerd=/run/containerd/containerd.sock --cgroup-parent={parent} \
             --default-address-pool base=172.16.0.0/12,size=24 \
             </dev/null >>/var/log/dockerd.log 2>&1 &"
        ))?;
        let up = wait::until("dockerd to answer", DEADLINE, || {
            self.docker_answers().then_some(())
        });
        up.map_err(|error| self.with_docker_log(&error))
    }

    /// Asks dockerd to stop and waits until it has; containers stop with it, as on a server.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop_docker(&self) -> Result<()> {
        self.end_docker("TERM")
    }

    /// Kills dockerd; containers go on without it until it starts again.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_docker(&self) -> Result<()> {
        self.end_docker("KILL")
    }

    fn end_docker(&self, signal: &str) -> Result<()> {
        let line = format!(
            "pid=$(cat /run/docker.pid); kill -{signal} $pid; while [ -e /proc/$pid/exe ]; do sleep 0.01; done"
        );
        self.exec(&Cmd::shell(&line))?.ok().map(drop)
    }

    fn docker_answers(&self) -> bool {
        let stream = self
            .docker_socket()
            .ok()
            .and_then(|socket| UnixStream::connect(socket).ok());
        let answer =
            stream.and_then(|stream| http::Request::get("/_ping").send(stream, "docker").ok());
        answer.is_some_and(|answer| answer.status == 200)
    }

    fn with_docker_log(&self, error: &LabError) -> LabError {
        LabError::Other(format!(
            "host {}: {error}\n{}",
            self.name(),
            self.docker_log()
        ))
    }

    /// The end of what the engine has logged; nothing while the power is off.
    pub(super) fn docker_log(&self) -> String {
        self.sh("tail -n 20 /var/log/dockerd.log /var/log/containerd.log")
            .unwrap_or_default()
    }
}
