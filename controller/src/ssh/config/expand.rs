//! What may stand in a value of an ssh configuration: `~`, `${VARIABLE}` and tokens such as `%h`.

use std::path::PathBuf;

use super::Surroundings;

/// What the tokens stand for.
pub(super) struct Tokens<'a> {
    pub(super) around: &'a Surroundings,
    /// `%n`: as the operator wrote it.
    pub(super) typed: &'a str,
    /// `%h`: as it is reached.
    pub(super) host: &'a str,
    /// `%k`: as known_hosts has it.
    pub(super) alias: &'a str,
    /// `%p`.
    pub(super) port: u16,
    /// `%r`.
    pub(super) user: &'a str,
}

impl Tokens<'_> {
    /// A path, with its tokens, variables and `~` replaced.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        let text = self.text(&self.variables(text)?)?;
        Ok(home(&text, self.around))
    }

    /// Text, with its tokens replaced.
    pub(super) fn text(&self, text: &str) -> Result<String, String> {
        replace(text, |token| {
            Some(match token {
                'd' => self.around.home.display().to_string(),
                'h' => self.host.to_owned(),
                'i' => rustix::process::getuid().as_raw().to_string(),
                'k' => self.alias.to_owned(),
                'l' => here(),
                'L' => here().split('.').next().unwrap_or_default().to_owned(),
                'n' => self.typed.to_owned(),
                'p' => self.port.to_string(),
                'r' => self.user.to_owned(),
                'u' => self.around.user.clone(),
                _ => return None,
            })
        })
    }

    fn variables(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err("has \"${\" without \"}\"".to_owned());
            };
            let value = self.around.variables.get(name);
            let value =
                value.ok_or_else(|| format!("needs the variable {name}, which is not set"))?;
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        Ok(out + rest)
    }
}

/// The host's address: `%h` is the name that was typed.
pub(super) fn host_name(text: &str, typed: &str) -> Result<String, String> {
    replace(text, |token| (token == 'h').then(|| typed.to_owned()))
}

/// A path that may begin with `~/`.
pub(super) fn home(text: &str, around: &Surroundings) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => around.home.join(rest),
        None if text == "~" => around.home.clone(),
        None => PathBuf::from(text),
    }
}

fn replace(text: &str, value: impl Fn(char) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(token) => {
                let unknown = || format!("has %{token}, which longshore does not know here");
                out.push_str(&value(token).ok_or_else(unknown)?);
            }
            None => return Err("ends with a lone %".to_owned()),
        }
    }
    Ok(out)
}

fn here() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
