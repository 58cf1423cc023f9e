//! What plain Compose would have taken from the operator's shell, and a deploy does not.

use std::collections::BTreeSet;
use std::io::Read;

use proto::stack::{ShippedFile, is_of_composes_process};

use super::references::references;
use super::{Bundle, BundleError, Source};
use crate::shell::Shell;

/// Larger than any Compose file.
const TEXT_BYTES: u64 = 8 * 1024 * 1024;

impl Bundle {
    /// Adds a warning that names what the shell sets, the stack refers to, and the deploy will not use.
    pub(super) fn warn_of_shell(&mut self, shell: &Shell) {
        let referenced = self.references(|_, _| true);
        let names = referenced.intersection(&self.set_in_shell);
        let unused = self.only_in_shell(shell, names.map(String::as_str));
        let Some(first) = unused.first() else {
            return;
        };
        let all = unused.join(", ");
        self.warnings.push(format!(
            "set in the shell but not used: {all} (take one with --env {first}, or add it to `inherit`)"
        ));
    }

    /// Refuses what the Compose files take from a `.env` under a name that Compose's process on the host has: that one
    /// would win, in silence.
    pub(super) fn check_process_names(&self) -> Result<(), BundleError> {
        let mut names: Vec<&str> = self.dotenv.names().collect();
        names.retain(|name| is_of_composes_process(name));
        if names.is_empty() {
            return Ok(());
        }
        // Other YAML is the business of whoever mounts it.
        let referenced = self.references(|file, text| {
            self.spec.compose_files.contains(&file.path) || has_services(text)
        });
        names.retain(|name| referenced.contains(*name));
        if names.is_empty() {
            return Ok(());
        }
        let names = names.into_iter().map(str::to_owned).collect();
        Err(BundleError::OfTheProcess { names })
    }

    /// The variables that the Compose files refer to, and other YAML that was named to be shipped: what Compose
    /// includes and extends is among it.
    fn references(&self, counts: impl Fn(&ShippedFile, &[u8]) -> bool) -> BTreeSet<String> {
        let files = self.spec.files.iter().filter(|file| self.is_compose(file));
        let texts = files.filter_map(|file| Some((file, read(self.content.get(&file.blob)?))));
        texts
            .filter(|(file, text)| counts(file, text))
            .flat_map(|(_, text)| references(&text))
            .collect()
    }

    fn is_compose(&self, file: &ShippedFile) -> bool {
        let path = file.path.as_str();
        path.ends_with(".yml")
            || path.ends_with(".yaml")
            || self.spec.compose_files.contains(&file.path)
    }

    /// Of `names`, those that the operator's shell sets to something else than what the deploy will use:
    /// plain Compose would have taken them from there.
    pub(super) fn only_in_shell<'n>(
        &self,
        shell: &Shell,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Vec<&'n str> {
        let used = |name: &str| {
            let value = self
                .spec
                .values
                .iter()
                .find(|value| value.name.as_str() == name);
            let value = value.map(|value| value.text.as_str());
            // Compose itself sets this one from `-p`.
            let project = (name == "COMPOSE_PROJECT_NAME").then(|| self.spec.project.as_str());
            value
                .or(project)
                .or_else(|| self.dotenv.get(name).ok().flatten())
        };
        names
            .into_iter()
            .filter(|name| shell.get(name).is_some_and(|set| used(name) != Some(set)))
            .collect()
    }
}

/// Whether a YAML file has the key that Compose files have, those that are included or extended too.
fn has_services(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(b"services:"))
}

/// What can be read of a content; when it is sent, whatever is wrong with it is told.
fn read(source: &Source) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(file) = source.open() {
        file.take(TEXT_BYTES).read_to_end(&mut text).ok();
    }
    text
}
