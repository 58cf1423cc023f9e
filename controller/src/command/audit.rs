//! `audit`: what the hosts have recorded of every change, checked here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proto::audit::{Chain, Entry, Fact};
use proto::fault::Fault;
use proto::id::{HostName, StackName};

use super::prepare::Links;
use super::{Context, Ended, Target, now_millis, some_place, tell, whole_stacks};
use crate::cli::{AuditArgs, Output};
use crate::error::Failure;
use crate::exit::Exit;
use crate::fleet_run;
use crate::link::Link;
use crate::render::audit::{HostRecord, Read, lines};

/// Entries held for showing, whatever was asked for.
const MOST_SHOWN: usize = 100_000;

/// Which entries of a host are shown: those of these stacks; `None` for all.
type Filter = Option<BTreeSet<StackName>>;

pub(super) async fn run(args: AuditArgs, context: &Context) -> Result<Exit, Ended> {
    let hosts = hosts(&args, context).await?;
    let links = Links::new(&context.fleet, hosts.keys());
    let shown = args.number.0.map_or(MOST_SHOWN, |number| number as usize);
    let asked = hosts.clone().into_iter().collect();
    let asked = fleet_run::each(asked, args.width.parallel.into(), |(host, filter)| {
        let links = Arc::clone(&links);
        async move { read(&links.get(&host).await?, &filter, shown, args.accept).await }
    });
    let answers = tokio::select! {
        answers = asked => answers,
        () = context.leave.first() => return Err(Ended::Left),
    };
    let mut records = Vec::new();
    let mut failures = Vec::new();
    let mut codes = Vec::new();
    for (host, answer) in hosts.into_keys().zip(answers) {
        codes.push(match &answer {
            Ok(read) if read.verdict.holds() => Exit::Done,
            Ok(_) => Exit::Failed,
            Err(fault) => {
                let failure = Failure::on(&host, fault.clone());
                let exit = failure.exit();
                failures.push(failure);
                exit
            }
        });
        records.push(HostRecord::new(host, answer));
    }
    show(&records, args.output.output, context)?;
    for failure in failures {
        tell(&context.terminal, &failure);
    }
    Ok(Exit::overall(codes))
}

/// Each host that something was named of. A word that names a whole host shows what is about no stack, too.
async fn hosts(args: &AuditArgs, context: &Context) -> Result<BTreeMap<HostName, Filter>, Ended> {
    let named = context.by_host(&args.targets).await?;
    let targets: Vec<Target> = named
        .iter()
        .flat_map(|(_, targets)| targets.clone())
        .collect();
    whole_stacks(&targets, "audit")?;
    let whole = |word: &&String| !word.contains('/') && !word.starts_with("stack:");
    let whole: Vec<String> = args.targets.iter().filter(whole).cloned().collect();
    let adds = whole.iter().any(|word| !word.starts_with('!'));
    let whole = if adds {
        context.by_host(&whole).await?
    } else {
        Vec::new()
    };
    let whole: BTreeSet<_> = whole.into_iter().map(|(host, _)| host).collect();
    let filtered = |(host, targets): (HostName, Vec<Target>)| {
        let stacks = targets.into_iter().map(|target| target.place.stack);
        let filter = (!whole.contains(&host)).then(|| stacks.collect());
        (host, filter)
    };
    let hosts: BTreeMap<HostName, Filter> = named.into_iter().map(filtered).collect();
    if hosts.is_empty() {
        some_place(&targets, &args.targets)?;
    }
    Ok(hosts)
}

/// Reads and checks the whole record, and keeps the newest entries that are to be shown.
async fn read(link: &Link, filter: &Filter, shown: usize, accept: bool) -> Result<Read, Fault> {
    let remembered = link.remembered();
    let mut chain = Chain::new(remembered);
    let mut entries = VecDeque::new();
    let mut lines = link.record().await?;
    while let Some(page) = lines.next().await? {
        let sound = page.iter().filter_map(|line| chain.take(line));
        for entry in sound.filter(|entry| is_shown(entry, filter)) {
            if entries.len() >= shown {
                entries.pop_front();
            }
            entries.push_back(entry);
        }
    }
    let verdict = chain.finish();
    if accept {
        link.accept(verdict.head);
    }
    Ok(Read {
        entries: entries.into(),
        verdict,
        accepted: accept,
    })
}

fn is_shown(entry: &Entry, filter: &Filter) -> bool {
    let Some(stacks) = filter else {
        return true;
    };
    let stack = match &entry.fact {
        Fact::Called(called) => called.stack.as_ref(),
        Fact::Ended(ended) => Some(&ended.stack),
        _ => None,
    };
    stack.is_some_and(|stack| stacks.contains(stack))
}

fn show(records: &[HostRecord], output: Output, context: &Context) -> Result<(), Ended> {
    match output {
        Output::Table => {
            for line in lines(records, now_millis(context)) {
                context.terminal.say(line);
            }
        }
        Output::Json => context.terminal.json(&records)?,
        Output::Jsonl => {
            for line in records.iter().flat_map(HostRecord::rows) {
                context.terminal.json(&line)?;
            }
        }
    }
    Ok(())
}
