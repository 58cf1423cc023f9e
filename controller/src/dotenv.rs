//! Reads a stack's `.env` by Compose's rules, for what Compose would take from it before it starts:
//! which files, which profiles, which project; and which names it defines. Values go nowhere else.

use std::collections::BTreeMap;
use std::fmt;

mod expand;
pub(crate) use expand::expand;
#[cfg(test)]
mod tests;

/// Why a `.env` makes no sense. Never shows a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct DotEnvError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

/// A variable whose value needs what this reader does not have, such as `${X:?message}` without an `X`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: the value of {name} {why}")]
pub struct Unresolved {
    /// Which.
    pub name: String,
    /// Where.
    pub line: usize,
    /// Why.
    pub why: &'static str,
}

/// A read `.env`. `Debug` shows names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DotEnv {
    vars: BTreeMap<String, Result<String, Unresolved>>,
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

impl DotEnv {
    /// Reads `text` and adds what it defines to what earlier files did. `set` gives the values that win over all of
    /// them, as references see them.
    ///
    /// # Errors
    /// When Compose would refuse the file.
    pub fn add<'s>(
        &mut self,
        text: &str,
        set: impl Fn(&str) -> Option<&'s str>,
    ) -> Result<(), DotEnvError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { text, rest: text };
        while let Some(statement) = reader.statement()? {
            let Statement { line, name, value } = statement;
            let value = match value {
                Written::Inherited => match set(&name) {
                    Some(value) => Ok(value.to_owned()),
                    None => continue,
                },
                Written::Plain(text) => Ok(text),
                Written::Template(text) => self.expand(&text, &set).map_err(|why| Unresolved {
                    name: name.clone(),
                    line,
                    why,
                }),
            };
            // Compose reads such a name and then leaves it out.
            if !name.starts_with(|c: char| c.is_ascii_digit()) {
                self.vars.insert(name, value);
            }
        }
        Ok(())
    }

    fn expand<'s>(
        &self,
        text: &str,
        set: &impl Fn(&str) -> Option<&'s str>,
    ) -> Result<String, &'static str> {
        expand::expand(text, &|name| {
            let earlier = || self.vars.get(name)?.as_deref().ok();
            set(name).or_else(earlier).map(str::to_owned)
        })
    }

    /// What it defines.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.vars.keys().map(String::as_str)
    }

    /// Whether the file gives `name` a value.
    #[must_use]
    pub fn defines(&self, name: &str) -> bool {
        self.vars.contains_key(name)
    }

    /// The value of `name`; an empty one counts as none, as it does for Compose's own variables.
    ///
    /// # Errors
    /// When its value could not be worked out here.
    pub fn get(&self, name: &str) -> Result<Option<&str>, &Unresolved> {
        match self.vars.get(name) {
            Some(Ok(text)) if !text.is_empty() => Ok(Some(text)),
            Some(Err(unresolved)) => Err(unresolved),
            Some(Ok(_)) | None => Ok(None),
        }
    }
}

struct Statement {
    line: usize,
    name: String,
    value: Written,
}

enum Written {
    /// A name alone: its value is that of the environment.
    Inherited,
    /// Taken literally.
    Plain(String),
    /// May refer to other variables.
    Template(String),
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

/// Space that does not end a line, as Compose counts it.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

impl<'a> Reader<'a> {
    fn line(&self) -> usize {
        let read = self.text.len() - self.rest.len();
        let newline = |byte: &&u8| **byte == b'\n';
        self.text
            .as_bytes()
            .iter()
            .take(read)
            .filter(newline)
            .count()
            + 1
    }

    /// The next statement, after blank lines and comments.
    fn statement(&mut self) -> Result<Option<Statement>, DotEnvError> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return Ok(None);
            }
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let line = self.line();
        let (name, inherited) = self.name(line)?;
        let value = if inherited {
            Written::Inherited
        } else {
            self.rest = self.rest.trim_start_matches(is_blank);
            self.value(line, &name)?
        };
        Ok(Some(Statement { line, name, value }))
    }

    /// The name, and whether it stands alone; the rest is what follows its `=`.
    fn name(&mut self, line: usize) -> Result<(String, bool), DotEnvError> {
        let refuse = |why: String| Err(DotEnvError { line, why });
        if let Some(rest) = self.rest.strip_prefix("export")
            && rest.starts_with(char::is_whitespace)
        {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let known = |c: char| c.is_alphanumeric() || is_blank(c) || "_.-[]".contains(c);
        if let Some(strange) = name.chars().find(|c| !known(*c)) {
            return refuse(format!("{strange:?} cannot be part of a variable name"));
        }
        let name = name.trim_end();
        if name.is_empty() {
            return refuse("there is no variable name".to_owned());
        }
        if name.contains(is_blank) {
            return refuse("a variable name cannot have a space in it".to_owned());
        }
        let inherited = !rest.starts_with(['=', ':']);
        let mut rest = rest.chars();
        rest.next();
        self.rest = rest.as_str();
        Ok((name.to_owned(), inherited))
    }

    fn value(&mut self, line: usize, name: &str) -> Result<Written, DotEnvError> {
        let quote = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => {
                let (value, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                // `#` begins a comment after a space only: `a#b` is a value.
                let value = value.split_once(" #").map_or(value, |(value, _)| value);
                return Ok(Written::Template(value.trim_end().to_owned()));
            }
        };
        let Some((value, rest)) = quoted(self.rest, quote) else {
            let why = format!("the value of {name} has no closing {quote}");
            return Err(DotEnvError { line, why });
        };
        self.rest = rest;
        Ok(if quote == '"' {
            Written::Template(expand::unescape(&value))
        } else {
            Written::Plain(value)
        })
    }
}

/// What stands between `text`'s first character and the same one again, and what comes after.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    chars.next();
    while let Some(c) = chars.next() {
        if c == quote {
            return Some((value, chars.as_str()));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let escaped = chars.next()?;
        if escaped != quote {
            value.push('\\');
        }
        value.push(escaped);
    }
    None
}
