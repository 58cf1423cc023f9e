//! Hands out what a hook has printed and was kept for its operator: a backup, so who takes it is on record.

use std::fs::File;
use std::io;

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;

use super::{Deployer, Request};
use crate::audit::Caller;
use crate::deploy;
use crate::files::FileError;

impl Deployer {
    /// What a hook of a deploy has printed, where that was kept for its operator.
    ///
    /// # Errors
    /// When there is no such file, or not any more, or the call cannot be recorded.
    pub fn saved(&self, deploy: &DeployId, hook: u32, caller: &Caller) -> Result<File, Fault> {
        caller.asks(Some(*deploy), &format!("what hook {hook} has saved"));
        if let Ok(Some(request)) = Request::load(&self.store, deploy) {
            caller.about(&request.stack);
        }
        let path = deploy::saved_file(&self.store.deploy_folder(deploy), hook);
        match File::open(&path) {
            Ok(file) => {
                caller.let_in()?;
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!(
                    "what hook {hook} of deploy {} printed is not kept here, or not any more",
                    deploy.short()
                );
                Err(Fault::new(FaultKind::UnknownName, what))
            }
            Err(error) => Err(FileError::new("open", &path, error).into()),
        }
    }
}
