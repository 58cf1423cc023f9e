//! Turns the text of a `fleet.toml` into a [`Fleet`], or into every problem it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use globset::Glob;
use proto::id::{HostName, StackName};
use proto::path::HostDir;
use proto::stack::VarName;
use toml::Spanned;
use toml::de::DeTable;

use super::address::Address;
use super::diagnostic::{Diagnostic, Problem};
use super::document::{Item, Placed, Problems, Section, entries, parse, text};
use super::hooks::read_hooks;
use super::probe::{read_deadlines, read_probes};
use super::value::{Document, Env, read_env};
use super::{Fleet, Host, Profile, Stack, Transport};
use crate::suggest;

/// Reads `text`; `file` is where it came from.
pub(super) fn parse_fleet(file: &Path, text: &str) -> Result<Fleet, Vec<Diagnostic>> {
    let show = |problems: Vec<Problem>| -> Vec<Diagnostic> {
        problems
            .into_iter()
            .map(|problem| Diagnostic::new(file, text, problem))
            .collect()
    };
    // What follows from a syntax error is noise until the syntax is right.
    let table = DeTable::parse(text).map_err(|error| show(vec![syntax(&error)]))?;
    let root = file.parent().unwrap_or(Path::new("."));
    let document = Document { text, file, root };
    let mut problems = Problems::default();
    let fleet = read_fleet(file, &document, &table, &mut problems);
    let problems = problems.into_sorted();
    match fleet {
        Some(fleet) if problems.is_empty() => Ok(fleet),
        _ => Err(show(problems)),
    }
}

fn syntax(error: &toml::de::Error) -> Problem {
    let hint = (error.message() == "duplicate key")
        .then(|| "each name may be given once; the first is further up".to_owned());
    Problem {
        span: error.span().unwrap_or(0..0),
        what: error.message().to_owned(),
        hint,
    }
}

fn read_fleet(
    file: &Path,
    document: &Document<'_>,
    table: &Spanned<DeTable<'_>>,
    problems: &mut Problems,
) -> Option<Fleet> {
    // A missing section is missing at the start of the file, not in all of it.
    let mut top = Section::over("fleet.toml", 0..0, table.get_ref());
    let fleet = top.need("fleet", problems);
    let stacks = top.get("stacks");
    let hosts = top.get("hosts");
    top.finish(problems);

    let stacks = stacks.map(|item| read_stacks(item, document, problems));
    let stacks = stacks.unwrap_or_default();
    let hosts = hosts.map(|item| read_hosts(item, document, &stacks, problems));

    let mut fleet = Section::new("[fleet]", fleet?, problems)?;
    let has_name = fleet.need("name", problems);
    let name = has_name.and_then(|item| parse("name", item, problems));
    let ca = fleet
        .need("ca", problems)
        .and_then(|item| text("ca", item, problems));
    let crl = fleet
        .get("crl")
        .and_then(|item| text("crl", item, problems));
    fleet.finish(problems);
    Some(Fleet {
        file: file.to_owned(),
        root: document.root.to_owned(),
        name: name?,
        ca: document.root.join(ca?),
        crl: crl.map(|crl| document.root.join(crl)),
        hosts: hosts.unwrap_or_default(),
        stacks,
    })
}

fn read_stacks(item: &Item<'_>, document: &Document<'_>, problems: &mut Problems) -> Vec<Stack> {
    entries::<StackName>("[stacks]", item, problems)
        .into_iter()
        .filter_map(|(name, item)| read_stack(name.value, item, document, problems))
        .collect()
}

fn read_stack(
    name: StackName,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Stack> {
    let place = format!("[stacks.{name}]");
    let mut section = Section::new(&place, item, problems)?;
    let path = section
        .need("path", problems)
        .and_then(|item| text("path", item, problems));
    let compose_files = section.list("compose_files", problems);
    let env_files = section.one_or_list("env_file", problems);
    let root = section.get("root");
    let root = root.and_then(|item| read_root(item, problems));
    let profiles = section.get("profiles").map(|item| {
        let profiles = super::document::list::<Profile>("profiles", item, problems);
        values(profiles).into_iter().map(String::from).collect()
    });
    let project_name = section.parse("project_name", problems);
    let ship = section.list::<ShipGlob>("ship", problems);
    let exclude = section.list::<ExcludePattern>("exclude", problems);
    let inherit = section.list::<VarName>("inherit", problems);
    for placed in inherit.iter().filter(|it| it.value.as_str() == "PWD") {
        problems.add::<()>(
            placed.span.clone(),
            "`inherit` cannot take PWD: on a host it is the stack's project directory",
        );
    }
    let allow_undefined = section.list("allow_undefined", problems);
    let env = section
        .get("env")
        .map(|item| read_env(&format!("[stacks.{name}.env]"), item, document, problems));
    let probes = section.get("probes");
    let probes = probes.map(|item| read_probes(&name, item, problems));
    let deadlines = section.get("deadlines");
    let deadlines = deadlines.map(|item| read_deadlines(&name, item, problems));
    let hooks = section
        .get("hooks")
        .map(|item| read_hooks(&place, item, document, problems));
    section.finish(problems);
    Some(Stack {
        name,
        // An unreadable path is a problem already noted; the stack still counts as named.
        path: document.root.join(path.unwrap_or_default()),
        compose_files: values(compose_files),
        root: root.unwrap_or_default(),
        env_files: values(env_files),
        profiles,
        project_name,
        ship: values(ship).into_iter().map(|glob| glob.0).collect(),
        exclude: values(exclude).into_iter().map(|it| it.0).collect(),
        inherit: values(inherit),
        allow_undefined: values(allow_undefined),
        env: env.unwrap_or_default(),
        probes: probes.unwrap_or_default(),
        deadlines: deadlines.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
    })
}

/// A folder that `path` lies in, however far up.
fn read_root(item: &Item<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let written = text("root", item, problems)?;
    if !written.is_empty() && written.split('/').all(|part| part == "..") {
        return Some(written.into());
    }
    problems.add(
        item.span(),
        format!("`root` must lead from `path` to a folder above it: \"..\", \"../..\"; {written:?} does not"),
    )
}

fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

fn read_hosts(
    item: &Item<'_>,
    document: &Document<'_>,
    stacks: &[Stack],
    problems: &mut Problems,
) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (name, item) in entries::<HostName>("[hosts]", item, problems) {
        if name.value.as_str() == "all" {
            let what = "a host cannot be called `all`: as a target, that means every host";
            problems.add::<()>(name.span.clone(), what);
        }
        hosts.extend(read_host(name.value, item, document, stacks, problems));
    }
    hosts
}

fn read_host(
    name: HostName,
    item: &Item<'_>,
    document: &Document<'_>,
    stacks: &[Stack],
    problems: &mut Problems,
) -> Option<Host> {
    let place = format!("[hosts.{name}]");
    let mut section = Section::new(&place, item, problems)?;
    let has_ssh = section.get("ssh");
    let ssh = has_ssh.and_then(|item| parse("ssh", item, problems));
    let labels = section.list("labels", problems);
    let on_host = section.list::<StackName>("stacks", problems);
    let has_transport = section.get("transport");
    let transport = has_transport.map(|item| read_transport(item, problems));
    let transport = transport.unwrap_or_default();
    let address = match (section.get("address"), transport) {
        // The agent is on the host's own loopback then.
        (None, Transport::Ssh) => Some(Address::local()),
        _ => section
            .need("address", problems)
            .and_then(|item| parse("address", item, problems)),
    };
    if let (Some(item), Transport::Ssh, None) = (has_transport, transport, has_ssh) {
        let what = format!("{place} has no `ssh` to go through");
        let hint = "write ssh = \"user@host\"".to_owned();
        problems.add_with::<()>(item.span(), what, Some(hint));
    }
    let dir = section.get("dir");
    let env = section.get("env");
    section.finish(problems);

    check_stacks(&on_host, stacks, problems);
    let on_host = values(on_host);
    let mut of_host = |key: &Placed<StackName>, problems: &mut Problems| {
        let known = on_host.contains(&key.value);
        if !known {
            let what = format!("{name} does not run stack `{}`", key.value);
            let hint = suggest::hint(key.value.as_str(), on_host.iter().map(StackName::as_str));
            problems.add_with::<()>(key.span.clone(), what, hint);
        }
        known
    };
    let dirs = dir.map(|item| read_dirs(&place, item, &mut of_host, problems));
    let envs = env.map(|item| read_envs(&name, item, document, &mut of_host, problems));
    Some(Host {
        name,
        address: address?,
        ssh,
        labels: values(labels),
        stacks: on_host,
        dirs: dirs.unwrap_or_default(),
        transport,
        env: envs.unwrap_or_default(),
    })
}

fn read_envs(
    host: &HostName,
    item: &Item<'_>,
    document: &Document<'_>,
    of_host: &mut dyn FnMut(&Placed<StackName>, &mut Problems) -> bool,
    problems: &mut Problems,
) -> BTreeMap<StackName, Env> {
    let mut envs = BTreeMap::new();
    for (stack, item) in entries::<StackName>(&format!("[hosts.{host}.env]"), item, problems) {
        let place = format!("[hosts.{host}.env.{}]", stack.value);
        let env = read_env(&place, item, document, problems);
        if of_host(&stack, problems) {
            envs.insert(stack.value, env);
        }
    }
    envs
}

fn check_stacks(named: &[Placed<StackName>], stacks: &[Stack], problems: &mut Problems) {
    let mut projects = BTreeMap::new();
    for Placed { span, value } in named {
        let Some(stack) = stacks.iter().find(|stack| stack.name == *value) else {
            let hint = suggest::hint(value.as_str(), stacks.iter().map(|s| s.name.as_str()));
            problems.add_with::<()>(span.clone(), format!("there is no stack `{value}`"), hint);
            continue;
        };
        let Some(project) = &stack.project_name else {
            continue;
        };
        if let Some(other) = projects.insert(project, value) {
            let what = format!("stacks `{other}` and `{value}` have one project name, {project}");
            let hint = "two stacks on one host need two project names".to_owned();
            problems.add_with::<()>(span.clone(), what, Some(hint));
        }
    }
}

fn read_transport(item: &Item<'_>, problems: &mut Problems) -> Transport {
    let Some(name) = text("transport", item, problems) else {
        return Transport::Tls;
    };
    match name {
        "tls" => Transport::Tls,
        "ssh" => Transport::Ssh,
        other => {
            let what = format!("there is no transport {other:?}");
            problems.add_with::<()>(item.span(), what, suggest::hint(other, ["tls", "ssh"]));
            Transport::Tls
        }
    }
}

fn read_dirs(
    place: &str,
    item: &Item<'_>,
    of_host: &mut dyn FnMut(&Placed<StackName>, &mut Problems) -> bool,
    problems: &mut Problems,
) -> BTreeMap<StackName, HostDir> {
    if let toml::de::DeValue::String(dir) = item.get_ref() {
        let what = "`dir` must say which stack's folder it is";
        let hint = format!("write dir = {{ STACK = {dir:?} }}");
        problems.add_with::<()>(item.span(), what, Some(hint));
        return BTreeMap::new();
    }
    let mut dirs = BTreeMap::new();
    for (stack, item) in entries::<StackName>(&format!("`dir` in {place}"), item, problems) {
        let Some(dir) = text("dir", item, problems) else {
            continue;
        };
        match dir.parse::<HostDir>() {
            Err(error) => {
                problems.add::<()>(item.span(), error.to_string());
            }
            Ok(dir) if of_host(&stack, problems) => drop(dirs.insert(stack.value, dir)),
            Ok(_) => {}
        }
    }
    dirs
}

/// A line of a `.gitignore`.
struct ExcludePattern(String);

impl std::str::FromStr for ExcludePattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut builder = ignore::gitignore::GitignoreBuilder::new("");
        match builder.add_line(None, text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            Ok(_) => Err("an empty pattern excludes nothing".to_owned()),
            Err(error) => Err(format!("{text:?} is not a pattern: {error}")),
        }
    }
}

/// A glob as `ship` means it: `*` stays inside one folder, `**` does not.
struct ShipGlob(Glob);

impl std::str::FromStr for ShipGlob {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // The same rules as for every shipped path: relative, and never outside.
        let path: proto::path::RelPath = text.parse().map_err(|error| format!("{error}"))?;
        globset::GlobBuilder::new(path.as_str())
            .literal_separator(true)
            .build()
            .map(Self)
            .map_err(|error| format!("{text:?} is not a glob: {}", error.kind()))
    }
}
