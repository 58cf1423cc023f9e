//! From the arguments to the exit code: reads them, opens what the verb needs, runs it, and stops in order.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};

use crate::cli::{CaVerb, Cli, HostVerb, InitArgs, OperatorVerb, Stop, Verb};
use crate::command::{self, Context, Fleet, Leave};
use crate::error::Failure;
use crate::exit::Exit;
use crate::link::Patience;
use crate::terminal::Terminal;

/// The parts that verbs are wired to.
pub trait Parts {
    /// The fleet of a file, or of the one found from here upwards.
    ///
    /// # Errors
    /// When there is none, or it is not valid.
    fn fleet(&self, file: Option<&Path>, terminal: &Terminal) -> Result<Arc<dyn Fleet>, Fault>;

    /// Does a verb about identities. Blocks, and may ask.
    ///
    /// # Errors
    /// With what went wrong.
    fn admin(&self, verb: Admin, file: Option<&Path>, terminal: &Terminal)
    -> Result<Exit, Failure>;

    /// The present in unix nanoseconds.
    fn now_nanos(&self) -> i64;
}

/// The verbs about identities.
#[derive(Debug)]
pub enum Admin {
    /// `init`.
    Init(InitArgs),
    /// `host …`.
    Host(HostVerb),
    /// `operator …`.
    Operator(OperatorVerb),
    /// `ca …`.
    Ca(CaVerb),
}

/// Runs the program.
pub fn start(words: impl IntoIterator<Item = OsString>, parts: &dyn Parts) -> Exit {
    let terminal = Terminal::standard();
    let cli = match Cli::read(words) {
        Ok(cli) => cli,
        Err(stop) => return show(&terminal, &stop),
    };
    // The hook has told the panic itself; this makes it the documented code.
    let done = catch_unwind(AssertUnwindSafe(|| dispatch(cli, parts, &terminal)));
    let done = match done {
        Ok(Ok(exit)) => terminal.finish().map(|()| exit).map_err(Failure::from),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Ok(Exit::Defect),
    };
    done.unwrap_or_else(|failure| {
        command::tell(&terminal, &failure);
        failure.exit()
    })
}

fn show(terminal: &Terminal, stop: &Stop) -> Exit {
    for line in stop.text.trim_end().lines() {
        if stop.asked {
            terminal.say(line);
        } else {
            terminal.note(line);
        }
    }
    stop.exit
}

fn dispatch(cli: Cli, parts: &dyn Parts, terminal: &Terminal) -> Result<Exit, Failure> {
    let Cli { fleet: file, verb } = cli;
    let file = file.as_deref();
    let verb = match verb {
        Verb::Init(args) => return parts.admin(Admin::Init(args), file, terminal),
        Verb::Host(HostVerb::Upgrade(args)) => command::FleetVerb::Upgrade(args),
        Verb::Host(verb) => return parts.admin(Admin::Host(verb), file, terminal),
        Verb::Operator(verb) => return parts.admin(Admin::Operator(verb), file, terminal),
        Verb::Ca(verb) => return parts.admin(Admin::Ca(verb), file, terminal),
        Verb::Version(args) => return Ok(command::version(&args, terminal)?),
        Verb::Plan(args) => command::FleetVerb::Plan(args),
        Verb::Deploy(args) => command::FleetVerb::Deploy(args),
        Verb::Attach(args) => command::FleetVerb::Attach(args),
        Verb::Cancel(args) => command::FleetVerb::Cancel(args),
        Verb::Confirm(args) => command::FleetVerb::Confirm(args),
        Verb::Rollback(args) => command::FleetVerb::Rollback(args),
        Verb::History(args) => command::FleetVerb::History(args),
        Verb::Audit(args) => command::FleetVerb::Audit(args),
        Verb::Status(args) => command::FleetVerb::Status(args),
        Verb::Doctor(args) => command::FleetVerb::Doctor(args),
        Verb::Logs(args) => command::FleetVerb::Logs(args),
        Verb::Down(args) => command::FleetVerb::Down(args),
    };
    let context = Context {
        terminal: terminal.clone(),
        fleet: parts.fleet(file, terminal)?,
        leave: Leave::new(),
        now_nanos: parts.now_nanos(),
        patience: Patience::FOLLOW,
    };
    in_runtime(verb, &context)
}

fn in_runtime(verb: command::FleetVerb, context: &Context) -> Result<Exit, Failure> {
    let exit = block_on(async {
        let _signals = context.leave.on_signals().map_err(failed)?;
        Ok::<_, Fault>(command::run(verb, context).await)
    });
    Ok(exit??)
}

/// Runs what is not done at once, in a runtime of its own.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Fault> {
    /// A prompt that nobody answered still waits on its thread; the process ends without it.
    const STRAGGLERS: Duration = Duration::from_millis(100);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(STRAGGLERS);
    Ok(done)
}

fn failed(error: std::io::Error) -> Fault {
    Fault::new(FaultKind::Failed, "this system gave no threads or signals").because(&error)
}
