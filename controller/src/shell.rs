//! The operator's environment: nothing of it is used unless it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::fault::{Fault, FaultKind};
use proto::stack::{InvalidValue, VarName};

/// What the operator's shell has set, and what `--env` took from it. `Debug` shows names alone.
#[derive(Clone, Default)]
pub struct Shell {
    vars: BTreeMap<String, String>,
    named: BTreeMap<VarName, String>,
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell")
            .field("named", &self.named.keys())
            .finish_non_exhaustive()
    }
}

/// Why an `--env` argument was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// `--env KEY` without such a variable.
    #[error("--env {0}: the shell has no variable of that name")]
    NotSet(VarName),
    /// Not a name that can be given a value.
    #[error("--env: {0}")]
    Name(#[source] InvalidValue),
}

impl From<ShellError> for Fault {
    fn from(error: ShellError) -> Self {
        let fault = Self::new(FaultKind::InvalidRequest, error.to_string());
        match error {
            ShellError::NotSet(name) => fault.hint(format!("give it one: --env {name}=VALUE")),
            ShellError::Name(_) => fault,
        }
    }
}

impl Shell {
    /// The environment `vars`, of which the `--env` arguments `args` (`KEY` or `KEY=VALUE`) name a part.
    /// Of two arguments for one key the later counts.
    ///
    /// # Errors
    /// When an argument names no variable, or one that is reserved.
    pub fn new(vars: BTreeMap<String, String>, args: &[String]) -> Result<Self, ShellError> {
        let mut named = BTreeMap::new();
        for arg in args {
            let (name, text) = match arg.split_once('=') {
                Some((name, text)) => (name, Some(text.to_owned())),
                None => (arg.as_str(), None),
            };
            let name: VarName = name.parse().map_err(ShellError::Name)?;
            let text = text.or_else(|| vars.get(name.as_str()).cloned());
            let text = text.ok_or_else(|| ShellError::NotSet(name.clone()))?;
            named.insert(name, text);
        }
        Ok(Self { vars, named })
    }

    /// What the shell has set, named or not.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// Names that `--env` or `inherit` could take from here and that mean the same on a host.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let could = |name: &&String| {
            name.parse::<VarName>().is_ok() && !OF_THIS_MACHINE.contains(&name.as_str())
        };
        self.vars.keys().filter(could).cloned().collect()
    }

    /// What `--env` gave.
    pub(crate) fn named(&self) -> &BTreeMap<VarName, String> {
        &self.named
    }
}

/// Every shell sets these, and what they say is true on this machine alone.
const OF_THIS_MACHINE: &[&str] = &["OLDPWD", "PWD", "SHLVL", "_"];

/// What stands between an agent's "variables are" and their names.
const NOT_DEFINED: &str = " not defined: ";

/// An agent's refusal of undefined variables, with a hint for those that the operator's shell has `set`.
pub(crate) fn explain(fault: Fault, set: &BTreeSet<String>) -> Fault {
    let undefined = match fault.what.split_once(NOT_DEFINED) {
        Some((_, names)) if fault.kind == FaultKind::InvalidStack => names,
        _ => return fault,
    };
    let names: Vec<&str> = undefined
        .split(", ")
        .filter(|name| set.contains(*name))
        .collect();
    let flags: Vec<String> = names.iter().map(|name| format!("--env {name}")).collect();
    let (all, flags) = (names.join(", "), flags.join(" "));
    match names.len() {
        0 => fault,
        1 => fault.hint(format!(
            "{all} is set in your shell: pass {flags}, or add it to `inherit`"
        )),
        _ => fault.hint(format!(
            "{all} are set in your shell: pass {flags}, or add them to `inherit`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_variable_that_the_shell_sets_is_pointed_at() {
        let set = ["TAG", "PORT", "OTHER"].map(str::to_owned).into();
        let hints = |what: &str| {
            let fault = Fault::new(FaultKind::InvalidStack, what).hint("set it");
            explain(fault, &set).hints
        };
        assert_eq!(
            hints("variable is not defined: TAG"),
            [
                "set it",
                "TAG is set in your shell: pass --env TAG, or add it to `inherit`"
            ]
        );
        assert_eq!(
            hints("variables are not defined: NONE, PORT, TAG"),
            [
                "set it",
                "PORT, TAG are set in your shell: pass --env PORT --env TAG, or add them to `inherit`"
            ]
        );
        assert_eq!(hints("variable is not defined: NONE"), ["set it"]);
        assert_eq!(hints("TAG is broken"), ["set it"]);
    }

    #[test]
    fn names_that_no_stack_can_have_are_not_offered() {
        let names = [
            "TAG",
            "PATH",
            "HOME",
            "PWD",
            "_",
            "DOCKER_HOST",
            "BASH_FUNC%%",
        ];
        let vars = names.map(|name| (name.to_owned(), String::new()));
        let shell = Shell::new(vars.into(), &[]).unwrap();
        assert_eq!(shell.names(), ["TAG".to_owned()].into());
    }

    fn shell(args: &[&str]) -> Result<Shell, ShellError> {
        let vars = [("TAG", "stable"), ("PATH", "/bin")];
        let vars = vars.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        Shell::new(vars.into(), &args)
    }

    #[test]
    fn env_takes_from_the_shell_or_from_the_argument() {
        let shell = shell(&["TAG", "A=b=c", "A="]).unwrap();
        let named: Vec<_> = shell.named().values().map(String::as_str).collect();
        assert_eq!(named, ["", "stable"]);
        assert!(!format!("{shell:?}").contains("stable"));
    }

    #[test]
    fn env_cannot_name_what_is_not_set_or_reserved() {
        assert!(matches!(shell(&["NONE"]), Err(ShellError::NotSet(_))));
        assert!(matches!(shell(&["PATH"]), Err(ShellError::Name(_))));
        assert!(matches!(shell(&["=x"]), Err(ShellError::Name(_))));
    }
}
