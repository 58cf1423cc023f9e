//! Keeps new deploys out while the agent is being replaced. One that runs is never cut short for it.

use proto::fault::{Fault, FaultKind};

use super::submit::check_free;
use super::{Deployer, Inner};

/// While it lives, and for good once it is kept, no deploy is taken.
pub struct Pause<'a> {
    deployer: &'a Deployer,
    kept: bool,
}

impl Deployer {
    /// Refuses while a deploy holds a stack, and says who holds it.
    ///
    /// # Errors
    /// As said.
    pub fn idle(&self) -> Result<(), Fault> {
        nothing_runs(&self.inner())
    }

    /// Takes no deploy from now on.
    ///
    /// # Errors
    /// When one runs.
    pub fn pause(&self) -> Result<Pause<'_>, Fault> {
        let mut inner = self.inner();
        nothing_runs(&inner)?;
        inner.paused = true;
        Ok(Pause {
            deployer: self,
            kept: false,
        })
    }
}

impl Pause<'_> {
    /// It lasts until this agent ends.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.deployer.inner().paused = self.kept;
    }
}

fn nothing_runs(inner: &Inner) -> Result<(), Fault> {
    inner
        .active
        .keys()
        .try_for_each(|stack| check_free(inner, stack))
}

pub(super) fn check_paused(inner: &Inner) -> Result<(), Fault> {
    if !inner.paused {
        return Ok(());
    }
    let what = "this host's agent is being replaced by a new one";
    Err(Fault::new(FaultKind::Busy, what).hint("run the same command again in a few seconds"))
}
