//! The pages: each command's `--help`, and below it exit codes, files, variables and the other pages.

use std::io::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::words::{self, Entry};

/// One man page.
pub(crate) struct Page {
    /// `controller-deploy`.
    pub(crate) name: String,
    /// `1` for commands, `8` for the daemon.
    pub(crate) section: &'static str,
    /// In roff.
    pub(crate) text: String,
}

impl Page {
    /// The file's name: `controller-deploy.1`.
    pub(crate) fn file(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }
}

/// What all pages of one program share.
struct Program {
    section: &'static str,
    manual: &'static str,
    sections: Vec<(&'static str, Vec<Entry>)>,
    elsewhere: &'static str,
}

/// How a page tells of a command's verbs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verbs {
    /// By their own pages.
    Listed,
    /// On the spot.
    InFull,
}

/// Every page of both programs.
pub(crate) fn all() -> Vec<Page> {
    let controller = Program {
        section: "1",
        manual: "longshore manual",
        sections: vec![
            ("EXIT STATUS", words::exit_codes()),
            ("FILES", words::files()),
            ("ENVIRONMENT", words::environment()),
        ],
        elsewhere: "agent(8)",
    };
    let agent = Program {
        section: "8",
        manual: "longshore manual",
        sections: vec![
            ("EXIT STATUS", words::agent_exit_codes()),
            ("FILES", words::agent_files()),
            ("ENVIRONMENT", words::agent_environment()),
        ],
        elsewhere: "controller(1)",
    };
    let mut pages = Vec::new();
    let mut command = controller_command();
    command.build();
    controller.add(&command, None, &mut pages);
    // The daemon has few words: one page holds them all.
    let mut command = agent::cli::Arguments::command().disable_help_subcommand(true);
    command.build();
    pages.push(agent.page(&command, &[agent.elsewhere.to_owned()], Verbs::InFull));
    pages
}

/// The command line of `controller`, without the `help` verb.
pub(crate) fn controller_command() -> Command {
    controller::cli::Cli::command().disable_help_subcommand(true)
}

/// `controller deploy [OPTIONS] <TARGET>...`
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

fn name_of(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

impl Program {
    fn add(&self, command: &Command, parent: Option<&Command>, pages: &mut Vec<Page>) {
        let children = || {
            command
                .get_subcommands()
                .filter(|child| !child.is_hide_set())
        };
        let near = parent.into_iter().chain(children());
        let mut see: Vec<String> = near
            .map(|near| format!("{}({})", name_of(near), self.section))
            .collect();
        see.push(self.elsewhere.to_owned());
        pages.push(self.page(command, &see, Verbs::Listed));
        for child in children() {
            self.add(child, Some(command), pages);
        }
    }

    fn page(&self, command: &Command, see: &[String], verbs: Verbs) -> Page {
        let name = name_of(command);
        let man = Man::new(command.clone()).section(self.section);
        let mut out = Vec::new();
        // Without a date, which changes nothing and makes two builds differ, the macro needs an empty argument.
        let (title, section, manual) = (name.to_uppercase(), self.section, self.manual);
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            out,
            ".TH \"{title}\" \"{section}\" \"\" \"longshore {version}\" \"{manual}\""
        )
        .unwrap();
        man.render_name_section(&mut out).unwrap();
        let mut synopsis = Roff::new();
        synopsis.control("SH", ["SYNOPSIS"]);
        synopsis.text([bold(usage(command))]);
        synopsis.to_writer(&mut out).unwrap();
        man.render_description_section(&mut out).unwrap();
        man.render_options_section(&mut out).unwrap();
        if command.has_subcommands() && verbs == Verbs::Listed {
            man.render_subcommands_section(&mut out).unwrap();
        }
        let mut end = Roff::new();
        if verbs == Verbs::InFull {
            verbs_in_full(command, &mut end);
        }
        if let Some(help) = command.get_after_help() {
            end.control("SH", ["NOTES"]);
            end.text([roman(
                help.to_string()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            )]);
        }
        for (title, entries) in &self.sections {
            end.control("SH", [*title]);
            for (term, text) in entries {
                end.control("TP", []);
                end.text([bold(term)]);
                end.text([roman(text)]);
            }
        }
        end.control("SH", ["SEE ALSO"]);
        end.text([roman(see.join(", "))]);
        end.to_writer(&mut out).unwrap();
        Page {
            name,
            section: self.section,
            text: String::from_utf8(out).unwrap(),
        }
    }
}

/// Each verb with its arguments, as sections of one page.
fn verbs_in_full(command: &Command, roff: &mut Roff) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        roff.control("SH", [verb.get_name().to_uppercase().as_str()]);
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        roff.text([bold(usage(verb))]);
        roff.control("PP", []);
        roff.text([roman(about)]);
        let own = |argument: &&Arg| !argument.is_global_set() && argument.get_id() != "help";
        for argument in verb.get_arguments().filter(own) {
            let Some(help) = argument.get_help() else {
                continue;
            };
            let term = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().as_str().to_uppercase(),
            };
            roff.control("TP", []);
            roff.text([bold(term)]);
            roff.text([roman(help.to_string())]);
        }
    }
}
