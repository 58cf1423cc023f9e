//! `lab`: hosts, a registry and images for people and scripts, over the same library as the suites.
//!
//! ```text
//! lab up --dir DIR NAME...           start hosts and a registry, write DIR/lab.env, print `ready`, and stay
//!                                    until TERM, Ctrl-C or the end of a piped stdin; then remove all of it
//! lab exec DIR NAME COMMAND...       run a command in a host, on this terminal
//! lab push DIR ORG/NAME:TAG...       push the fixture under these names
//! lab opq DIR FOLDER                 copy the example fleet to FOLDER for this registry, and push its images
//! lab portal|quickstart DIR FOLDER   the same with the other examples
//! ```

use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};

use tests::example::Example;
use tests::lab::{self, Cmd, Host, Lab, LabError, Remote};
use tests::opq::Opq;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["up", "--dir", dir, names @ ..] if !names.is_empty() => up(Path::new(dir), names),
        ["exec", dir, name, command @ ..] if !command.is_empty() => exec(Path::new(dir), name, command),
        ["push", dir, images @ ..] if !images.is_empty() => push(Path::new(dir), images),
        ["opq", dir, folder] => opq(Path::new(dir), folder),
        [name @ ("portal" | "quickstart"), dir, folder] => example(name, Path::new(dir), folder),
        _ => Err("usage: lab up --dir DIR NAME... | exec DIR NAME COMMAND... | push DIR ORG/NAME:TAG... | opq|portal|quickstart DIR FOLDER".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn up(dir: &Path, names: &[&str]) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    // Before the hosts: a TERM while they start must still clear up.
    watch(stop)?;
    let lab = Lab::start()?;
    let registry = lab.registry()?;
    let hosts: Vec<lab::Result<Host>> = std::thread::scope(|scope| {
        let starts: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| lab.host(name)))
            .collect();
        let broken = || Err(LabError::Other("starting a host panicked".to_owned()));
        starts
            .into_iter()
            .map(|start| start.join().unwrap_or_else(|_| broken()))
            .collect()
    });
    let hosts: Vec<Host> = hosts.into_iter().collect::<lab::Result<_>>()?;
    std::fs::create_dir_all(dir)?;
    let file = dir.join("lab.env");
    std::fs::write(
        &file,
        describe(&lab, &registry.address().to_string(), &hosts)?,
    )?;
    say("ready");
    stopped.recv()?;
    std::fs::remove_file(&file)?;
    Ok(())
}

/// Sends once when it is time to end.
fn watch(stop: Sender<()>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let on_signal = stop.clone();
    std::thread::spawn(move || signals.forever().next().map(|_| on_signal.send(())));
    // Only a pipe: a background job's stdin is /dev/null, which ends at once, or a terminal it may not read.
    let kind = rustix::fs::fstat(io::stdin())?.st_mode;
    if rustix::fs::FileType::from_raw_mode(kind).is_fifo() {
        std::thread::spawn(move || {
            let _ended = io::copy(&mut io::stdin(), &mut io::sink());
            stop.send(())
        });
    }
    Ok(())
}

/// The run as shell assignments; a dash in a host's name becomes an underscore.
fn describe(lab: &Lab, registry: &str, hosts: &[Host]) -> Result<String> {
    let names: Vec<&str> = hosts.iter().map(Host::name).collect();
    let mut text = format!(
        "LAB_GATEWAY={}\nLAB_REGISTRY={registry}\nLAB_SSH_KEY={}\nLAB_HOSTS=\"{}\"\n",
        lab.gateway(),
        lab.ssh_key().display(),
        names.join(" ")
    );
    for host in hosts {
        let name = host.name().replace('-', "_");
        text += &format!(
            "LAB_IP_{name}={}\nLAB_PID_{name}={}\n",
            host.ip(),
            host.pid()?
        );
    }
    Ok(text)
}

fn exec(dir: &Path, name: &str, command: &[&str]) -> Result<()> {
    let key = format!("LAB_PID_{}", name.replace('-', "_"));
    let settings = settings(&dir.join("lab.env"))?;
    let pid = settings
        .get(&key)
        .ok_or_else(|| format!("no host {name} in {}", dir.display()))?;
    let cmd = Cmd::new(command).env("TERM", std::env::var("TERM").unwrap_or_default());
    Err(lab::enter(pid.parse()?, &cmd).exec().into())
}

fn push(dir: &Path, images: &[&str]) -> Result<()> {
    let remote = remote(dir)?;
    for image in images {
        say(&tests::opq::push(&remote, image)?);
    }
    Ok(())
}

fn opq(dir: &Path, folder: &str) -> Result<()> {
    let remote = remote(dir)?;
    let opq = Opq::copy(folder, remote)?;
    opq.push_images(remote)?;
    say(&format!(
        "{} images pushed, fleet in {folder}",
        opq.images().len()
    ));
    Ok(())
}

fn example(name: &str, dir: &Path, folder: &str) -> Result<()> {
    let remote = remote(dir)?;
    let example = Example::copy(name, folder, remote)?;
    example.push_images(remote)?;
    let count = example.images().len();
    say(&format!("{count} images pushed, fleet in {folder}"));
    Ok(())
}

fn remote(dir: &Path) -> Result<Remote> {
    let settings = settings(&dir.join("lab.env"))?;
    let registry = settings
        .get("LAB_REGISTRY")
        .ok_or("no registry in lab.env")?;
    Ok(Remote::at(registry.parse()?))
}

fn settings(file: &Path) -> Result<HashMap<String, String>> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    Ok(lines
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect())
}

#[expect(
    clippy::print_stdout,
    reason = "this program's output is for people and scripts"
)]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "this program's errors are for people")]
fn complain(line: &str) {
    eprintln!("lab: {line}");
}
