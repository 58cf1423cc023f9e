//! Interpolation values: which source wins for each name, and what it says.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::limits::{VALUE_BYTES, VALUES_BYTES};
use proto::stack::{InvalidValue, Value, VarName};

use super::{Outside, open_regular};
use crate::fleet::value::{Env, ValueSource, ValueSpec, without_newline};
use crate::fleet::{FILE_NAME, Stack};
use crate::shell::Shell;

/// A value and the newline behind it.
const MOST_READ: u64 = VALUE_BYTES as u64 + 2;

/// Why a value cannot be had. Never shows one.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The file is missing or unreadable.
    #[error("the value of {name} cannot be read from {} ({FILE_NAME} line {line})", path.display())]
    File {
        /// Whose value.
        name: VarName,
        /// Where it should be.
        path: PathBuf,
        /// Who says so.
        line: usize,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// `{ env = … }` names a variable that is not set.
    #[error(
        "the value of {name} comes from the shell's {from}, which is not set ({FILE_NAME} line {line})"
    )]
    NotSet {
        /// Whose value.
        name: VarName,
        /// The shell's variable.
        from: String,
        /// Who says so.
        line: usize,
    },
    /// `{ command = … }`, and nobody has run it.
    #[error("the value of {name} comes from a command that was not run ({FILE_NAME} line {line})")]
    Command {
        /// Whose value.
        name: VarName,
        /// Who says so.
        line: usize,
    },
    /// No environment could carry it.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// All of them together.
    #[error("the values of stack {stack} have {size} bytes together; {VALUES_BYTES} is the most")]
    TooMuch {
        /// Which stack.
        stack: String,
        /// How much.
        size: usize,
        /// The largest, by name.
        largest: Vec<(VarName, usize)>,
    },
}

impl From<ValueError> for Fault {
    fn from(error: ValueError) -> Self {
        let kind = match error {
            // Commands are run before any value is looked up.
            ValueError::Command { .. } => FaultKind::Internal,
            _ => FaultKind::InvalidStack,
        };
        let mut fault = Self::new(kind, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            fault = fault.because(source);
        }
        match error {
            ValueError::File { .. } => fault.hint(format!(
                "a relative path starts at the folder of {FILE_NAME}"
            )),
            ValueError::NotSet { from, .. } => fault.hint(format!("set {from} in the shell")),
            ValueError::TooMuch { largest, .. } => {
                let show = |(name, size): &(VarName, usize)| format!("{size:>9}  {name}");
                fault.output(largest.iter().map(show))
            }
            ValueError::Command { .. } | ValueError::Invalid(_) => fault,
        }
    }
}

/// Which source each name has: what was given by hand, and where `fleet.toml` takes the others from.
struct Sources<'a> {
    specs: BTreeMap<&'a VarName, &'a ValueSpec>,
    given: BTreeMap<&'a VarName, &'a str>,
}

impl<'a> Sources<'a> {
    /// Of several sources for one name the nearest to the operator wins: `--env`, then `inherit`, then the
    /// host's own, then the stack's.
    fn of(stack: &'a Stack, host_env: Option<&'a Env>, shell: &'a Shell) -> Self {
        let mut specs: BTreeMap<&VarName, &ValueSpec> = stack.env.iter().collect();
        specs.extend(host_env.into_iter().flatten());
        let mut given: BTreeMap<&VarName, &str> = BTreeMap::new();
        for name in &stack.inherit {
            given.extend(shell.get(name.as_str()).map(|text| (name, text)));
        }
        let named = shell.named().iter();
        given.extend(named.map(|(name, text)| (name, text.as_str())));
        Self { specs, given }
    }

    /// What was given by hand is not looked up as well: a missing file or variable does not matter then.
    fn looked_up(&self) -> impl Iterator<Item = (&'a VarName, &'a ValueSpec)> {
        let specs = self.specs.iter().map(|(name, spec)| (*name, *spec));
        specs.filter(|(name, _)| !self.given.contains_key(name))
    }
}

/// The commands that values of `stack` come from on a host whose own values are `host_env`, each with a value's
/// name and line, in the order of the file.
#[must_use]
pub fn commands(
    stack: &Stack,
    host_env: Option<&Env>,
    shell: &Shell,
) -> Vec<(Vec<String>, VarName, usize)> {
    let sources = Sources::of(stack, host_env, shell);
    let command = |(name, spec): (&VarName, &ValueSpec)| match &spec.source {
        ValueSource::Command(argv) => Some((argv.clone(), name.clone(), spec.line)),
        _ => None,
    };
    let mut commands: Vec<_> = sources.looked_up().filter_map(command).collect();
    commands.sort_by_key(|(_, _, line)| *line);
    commands
}

/// The stack's values for a host, sorted by name.
pub(super) fn resolve(
    stack: &Stack,
    host_env: Option<&Env>,
    outside: Outside<'_>,
) -> Result<Vec<Value>, ValueError> {
    let sources = Sources::of(stack, host_env, outside.shell);
    let mut values = Vec::new();
    for (name, spec) in sources.looked_up() {
        let text = look_up(name, spec, outside)?;
        values.push(Value::new(name.clone(), text, spec.secret)?);
    }
    for (name, text) in sources.given {
        // A secret stays one wherever its value comes from this time.
        let secret = sources.specs.get(name).is_some_and(|spec| spec.secret);
        values.push(Value::new(name.clone(), text.to_owned(), secret)?);
    }
    values.sort_by(|a, b| a.name.cmp(&b.name));
    check_size(stack, &values)?;
    Ok(values)
}

fn look_up(name: &VarName, spec: &ValueSpec, outside: Outside<'_>) -> Result<String, ValueError> {
    let line = spec.line;
    let name = || name.clone();
    match &spec.source {
        ValueSource::Text(text) => Ok(text.clone()),
        ValueSource::Env(from) => {
            let set = outside.shell.get(from).map(str::to_owned);
            set.ok_or_else(|| ValueError::NotSet {
                name: name(),
                from: from.clone(),
                line,
            })
        }
        ValueSource::Command(argv) => {
            let text = outside.printed.get(argv).map(str::to_owned);
            text.ok_or_else(|| ValueError::Command { name: name(), line })
        }
        ValueSource::File(path) => match read_value(path) {
            Ok(Content::Text(text)) => Ok(text),
            Ok(Content::TooLong(size)) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let name = name().as_str().to_owned();
                Err(InvalidValue::TooLong(name, size).into())
            }
            Err(source) => Err(ValueError::File {
                name: name(),
                path: path.clone(),
                line,
                source,
            }),
        },
    }
}

enum Content {
    Text(String),
    TooLong(u64),
}

/// The file's text as it is, but for the newline that an editor puts behind the last line.
fn read_value(path: &Path) -> io::Result<Content> {
    let file = open_regular(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.take(MOST_READ + 1).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    if read > MOST_READ {
        return Ok(Content::TooLong(size.max(read)));
    }
    let text = str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    let text = without_newline(text);
    if text.len() > VALUE_BYTES {
        return Ok(Content::TooLong(read));
    }
    Ok(Content::Text(text.to_owned()))
}

fn check_size(stack: &Stack, values: &[Value]) -> Result<(), ValueError> {
    let size = values.iter().map(|value| value.text.len()).sum::<usize>();
    if size <= VALUES_BYTES {
        return Ok(());
    }
    let sized = |value: &Value| (value.name.clone(), value.text.len());
    let mut largest: Vec<(VarName, usize)> = values.iter().map(sized).collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    largest.truncate(5);
    let stack = stack.name.to_string();
    Err(ValueError::TooMuch {
        stack,
        size,
        largest,
    })
}
