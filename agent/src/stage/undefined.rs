//! Variables that nothing defines: who uses them, where they are written, and whether anything that runs needs them.

use std::collections::{BTreeMap, BTreeSet};

use proto::fault::{Fault, FaultKind};
use proto::id::{ServiceName, StackName};
use serde_json::Value;

/// An undefined variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undefined {
    /// Its name.
    pub(super) name: String,
    /// The services that use it, each with the profiles that it runs with; `None` where Compose could not tell.
    pub(super) users: Option<BTreeMap<ServiceName, BTreeSet<String>>>,
    /// File and line, where it could be found.
    pub(super) places: Vec<String>,
    /// Whether it stands in an env file of a service, and in no Compose file.
    pub(super) in_env_file: bool,
}

impl Undefined {
    /// Whether nothing that is deployed uses it.
    pub(super) fn is_idle(&self, active: impl Fn(&ServiceName) -> bool) -> bool {
        let users = self.users.as_ref();
        users.is_some_and(|users| !users.is_empty() && !users.keys().any(active))
    }

    /// `NAME  compose.yaml:4  service web`.
    pub(super) fn told(&self) -> String {
        let mut told = self.name.clone();
        if !self.places.is_empty() {
            told.push_str("  ");
            told.push_str(&self.places.join(", "));
        }
        let users: Vec<String> = self.users.iter().flatten().map(told_user).collect();
        if !users.is_empty() {
            told.push_str("  ");
            told.push_str(&users.join(", "));
        }
        told
    }
}

fn told_user((service, profiles): (&ServiceName, &BTreeSet<String>)) -> String {
    let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
    match profiles.as_slice() {
        [] => format!("service {service}"),
        [one] => format!("service {service} (profile {one})"),
        many => format!("service {service} (profiles {})", many.join(", ")),
    }
}

/// The refusal of a stack that has these, all of them at once.
pub(super) fn refusal(stack: &StackName, undefined: &[Undefined]) -> Fault {
    let names: Vec<&str> = undefined.iter().map(|it| it.name.as_str()).collect();
    let plural = match names.len() {
        1 => "variable is",
        _ => "variables are",
    };
    let what = format!("{plural} not defined: {}", names.join(", "));
    let mut fault = Fault::new(FaultKind::InvalidStack, what);
    let told = undefined
        .iter()
        .filter(|it| !it.places.is_empty() || it.users.is_some());
    fault = fault.output(told.map(Undefined::told));
    if undefined.iter().any(|it| !it.in_env_file) {
        fault = fault
            .hint(format!(
                "set it in the stack's .env or in [stacks.{stack}.env] of fleet.toml"
            ))
            .hint("or list it in the stack's allow_undefined, if a blank is meant");
    }
    if undefined.iter().any(|it| it.in_env_file) {
        fault = fault.hint(
            "a $ that is meant as such in an env file of a service is written $$, or in single quotes: KEY='a$b'",
        );
    }
    fault
}

/// What is told of one that nothing deployed uses.
pub(super) fn note(undefined: &Undefined) -> String {
    format!(
        "not defined, and used by nothing that is deployed: {}",
        undefined.told()
    )
}

/// A value for each name that is found again wherever Compose puts it.
pub(super) type Markers = BTreeMap<String, String>;

/// Markers to be tried one after the other: words, and numbers for fields that must be numbers. `config` is what Compose
/// makes of the stack without them: it has none of them in it.
pub(super) fn markers(names: &[String], config: &Value) -> [Markers; 2] {
    let text = config.to_string();
    let mut number = 40_000_u32;
    let mut next = |make: fn(u32) -> String| loop {
        number += 1;
        let marker = make(number);
        if !text.contains(&marker) {
            return marker;
        }
    };
    let mut all = |make: fn(u32) -> String| {
        names
            .iter()
            .map(|name| (name.clone(), next(make)))
            .collect()
    };
    [
        all(|number| format!("undefined{number}x")),
        all(|number| number.to_string()),
    ]
}

/// The services whose configuration has a marker in it. A variable that turns up outside of services, or nowhere, has no
/// users: whatever needs it, the stack does.
pub(super) fn users(config: &Value, marker: &str) -> BTreeMap<ServiceName, BTreeSet<String>> {
    let mut rest = config.clone();
    let services = rest.get_mut("services").map(Value::take);
    if rest.to_string().contains(marker) {
        return BTreeMap::new();
    }
    let services = services.as_ref().and_then(Value::as_object);
    let with = services
        .into_iter()
        .flatten()
        .filter(|(name, service)| name.contains(marker) || service.to_string().contains(marker));
    with.filter_map(|(name, service)| {
        let profiles = service.get("profiles").and_then(Value::as_array);
        let profiles = profiles.into_iter().flatten().filter_map(Value::as_str);
        Some((name.parse().ok()?, profiles.map(str::to_owned).collect()))
    })
    .collect()
}

/// The lines of `text`, counted from one, that refer to a variable: `$NAME` and `${NAME`, but for `$$NAME`.
pub(super) fn lines(text: &str, name: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let refers =
        |(_, line): &(usize, &str)| !line.trim_start().starts_with('#') && refers(line, name);
    lines.filter(refers).map(|(index, _)| index + 1).collect()
}

fn refers(line: &str, name: &str) -> bool {
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let reference = after.strip_prefix('{').unwrap_or(after);
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if reference.strip_prefix(name).is_some_and(ends) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_by_line() {
        let text = "a: $A\n# $A\nb: ${A:-x}${B}\nc: $$A $AB ${AB}\nd: \"x ${B:-$A}\"\n";
        assert_eq!(lines(text, "A"), [1, 3, 5]);
        assert_eq!(lines(text, "B"), [3, 5]);
        assert_eq!(lines(text, "C"), [0; 0]);
    }

    #[test]
    fn users_are_those_that_the_marker_turns_up_in() {
        let config = json!({
            "services": {
                "web": { "environment": { "A": "x-m1x-y" }, "ports": [{ "published": "40002" }] },
                "backup": { "profiles": ["a", "b"], "image": "m1x" },
            },
            "configs": { "page": { "content": "m3x" } },
        });
        let names = |marker| {
            users(&config, marker)
                .into_keys()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("m1x"), ["backup", "web"]);
        assert_eq!(names("40002"), ["web"]);
        assert!(names("m3x").is_empty() && names("m4x").is_empty());
        let undefined = |marker| Undefined {
            name: "K".to_owned(),
            users: Some(users(&config, marker)),
            places: vec!["compose.yaml:3".to_owned()],
            in_env_file: false,
        };
        let told = "K  compose.yaml:3  service backup (profiles a, b), service web";
        assert_eq!(undefined("m1x").told(), told);
        assert!(!undefined("m1x").is_idle(|name| name.as_str() == "web"));
        assert!(undefined("m1x").is_idle(|_| false));
        assert!(!undefined("m3x").is_idle(|_| false));
    }

    #[test]
    fn markers_are_in_no_configuration() {
        let config = json!({ "a": "40001 undefined40001x", "b": 40002 });
        let [words, numbers] = markers(&["A".to_owned(), "B".to_owned()], &config);
        for marker in words.values().chain(numbers.values()) {
            assert!(!config.to_string().contains(marker.as_str()));
        }
        assert_ne!(words["A"], words["B"]);
        assert!(numbers.values().all(|number| number.parse::<u16>().is_ok()));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[$a{}: \n#é]{0,80}") {
            for line in lines(&text, "a") {
                prop_assert!(text.lines().nth(line - 1).is_some_and(|line| line.contains('$')));
            }
        }
    }
}
