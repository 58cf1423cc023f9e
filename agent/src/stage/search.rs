//! Asks Compose and the stack's files where a variable is used that nothing defines.

use std::path::Path;

use proto::fault::Fault;
use proto::id::ServiceName;
use proto::stack::VarName;
use serde_json::Value;

use super::undefined::{self, Undefined};
use super::{Session, lay_out};
use crate::engine::Resolution;

/// Bytes of a file in which variables are looked for: what people write by hand is small.
const WRITTEN: u64 = 1024 * 1024;
/// Places told of one variable in one file.
const WRITTEN_PLACES: usize = 3;

impl Session {
    /// Refuses what nothing defines, unless it may be blank, or nothing that is deployed uses it: that is noted.
    pub(super) async fn check_undefined(
        &self,
        resolution: &Resolution,
        active: impl Fn(&ServiceName) -> bool,
    ) -> Result<Vec<String>, Fault> {
        let allowed = self.spec.allow_undefined.iter();
        let allowed: Vec<&str> = allowed.map(VarName::as_str).collect();
        let names = resolution.undefined.iter();
        let names: Vec<String> = names
            .filter(|name| !allowed.contains(&name.as_str()))
            .cloned()
            .collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let undefined = self.look_for(&names, &resolution.config).await?;
        let (idle, needed): (Vec<_>, Vec<_>) =
            undefined.into_iter().partition(|it| it.is_idle(&active));
        if needed.is_empty() {
            return Ok(idle.iter().map(undefined::note).collect());
        }
        Err(undefined::refusal(&self.spec.stack, &needed))
    }

    /// Has Compose resolve the stack once more, with values for what has none, and looks where they turn up.
    async fn look_for(&self, names: &[String], config: &Value) -> Result<Vec<Undefined>, Fault> {
        let laid_out = lay_out(&self.store, &self.spec, &self.spec.project)?;
        let mut found = None;
        for markers in undefined::markers(names, config) {
            let mut project = self.project(laid_out.root());
            project.profiles = vec!["*".to_owned()];
            let values = markers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()));
            project.environment.extend(values);
            // A value that a field cannot have: then it is only known that there is none.
            if let Ok(resolution) = self.engine.resolve(&project).await {
                found = Some((markers, resolution.config));
                break;
            }
        }
        let undefined = names.iter().map(|name| {
            let users = found
                .as_ref()
                .and_then(|(markers, config)| Some(undefined::users(config, markers.get(name)?)));
            let (compose, other): (Vec<_>, Vec<_>) = self
                .written(laid_out.root(), name)
                .into_iter()
                .partition(|(is_compose, _)| *is_compose);
            let in_env_file = compose.is_empty() && !other.is_empty();
            let places = if in_env_file { other } else { compose };
            Undefined {
                name: name.clone(),
                users,
                places: places.into_iter().map(|(_, place)| place).collect(),
                in_env_file,
            }
        });
        Ok(undefined.collect())
    }

    /// Where the stack's files refer to a variable, and whether that is a Compose file.
    fn written(&self, root: &Path, name: &str) -> Vec<(bool, String)> {
        let mut places = Vec::new();
        for file in self.spec.files.iter().filter(|file| file.size <= WRITTEN) {
            let path = file.path.as_str();
            let is_compose = self.spec.compose_files.contains(&file.path)
                || path.ends_with(".yaml")
                || path.ends_with(".yml");
            if !is_compose && !self.opened.contains(&file.path) {
                continue;
            }
            let text = std::fs::read_to_string(file.path.under(root));
            let lines = undefined::lines(&text.unwrap_or_default(), name);
            let lines = lines
                .iter()
                .map(|line| (is_compose, format!("{path}:{line}")));
            places.extend(lines.take(WRITTEN_PLACES));
        }
        places
    }
}
