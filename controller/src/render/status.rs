//! Shows what runs: a block for each stack with a row for each container, or JSON.

use proto::event::ContainerState;
use proto::fault::Fault;
use proto::id::HostName;
use proto::status::{ContainerStatus, StackStatus};
use serde::Serialize;

use super::words;
use crate::terminal::{Line, Tone};

/// What one host answered: one element of `status -o json`, one line of `-o jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostView {
    /// Where.
    pub host: HostName,
    /// The agent's version; absent when the host did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Docker's version, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What runs there.
    pub stacks: Vec<StackStatus>,
    /// Stacks that `fleet.toml` puts there and that the host does not have.
    pub missing: Vec<proto::id::StackName>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// All hosts for people. The present is given, so that the same answers give the same screen.
#[must_use]
pub fn lines(hosts: &[HostView], now_millis: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    for host in hosts {
        if host.fault.is_some() {
            lines.push(
                Line::new()
                    .toned(Tone::Bad, "✗ ")
                    .toned(Tone::Strong, host.host.to_string())
                    .toned(Tone::Bad, "  no answer"),
            );
        } else if host.stacks.is_empty() && host.missing.is_empty() {
            let line = Line::new().toned(Tone::Strong, host.host.to_string());
            lines.push(line.toned(Tone::Faint, "  runs no stack"));
        }
        for stack in &host.stacks {
            lines.extend(stack_lines(&host.host, stack, now_millis));
        }
        for stack in &host.missing {
            let place = format!("{}/{stack}", host.host);
            let line = Line::new().toned(Tone::Strong, place);
            lines.push(line.toned(Tone::Warn, "  not deployed"));
        }
    }
    lines
}

fn stack_lines(host: &HostName, stack: &StackStatus, now_millis: u64) -> Vec<Line> {
    let mut header = Line::new().toned(Tone::Strong, format!("{host}/{}", stack.stack));
    header = match &stack.revision {
        Some(revision) => {
            let age = words::age(now_millis.saturating_sub(stack.committed_at_millis));
            let by = &stack.committed_by;
            header.toned(
                Tone::Faint,
                format!("  revision {}, {age} ago by {by}", revision.short()),
            )
        }
        None => header.toned(Tone::Faint, "  nothing committed"),
    };
    if let Some(deploy) = &stack.deploy {
        header = header.toned(
            Tone::Busy,
            format!("  deploy {} is running", deploy.short()),
        );
        if let Some(seconds) = stack.confirm_within {
            let left = words::age(u64::from(seconds) * 1000);
            header = header.toned(
                Tone::Warn,
                format!(", goes back in {left} unless confirmed"),
            );
        }
    }
    if stack.needs_reconcile {
        header = header.toned(
            Tone::Bad,
            format!(
                "  unknown, needs reconcile: controller doctor {host}/{}",
                stack.stack
            ),
        );
    }
    let cells: Vec<[String; 4]> = stack
        .containers
        .iter()
        .map(|one| cells(one, now_millis))
        .collect();
    let widths = widths(&cells);
    let mut lines = vec![header];
    if stack.containers.is_empty() {
        lines.push(Line::new().toned(Tone::Faint, "    no containers"));
    }
    for (one, cells) in stack.containers.iter().zip(&cells) {
        lines.push(row(one, cells, &widths));
    }
    lines
}

/// Name, state, age and image; ports come last and need no width.
fn cells(one: &ContainerStatus, now_millis: u64) -> [String; 4] {
    let (state, _) = words::container_state(one.state, one.exit_code);
    let state = match words::health(one.health) {
        (health, _) if !health.is_empty() && one.state == ContainerState::Running => {
            let seen = match one.health_at_millis {
                0 => String::new(),
                at => format!(" {} ago", words::age(now_millis.saturating_sub(at))),
            };
            format!("{state}, {health}{seen}")
        }
        _ => state,
    };
    let up = match one.started_at_millis {
        started if started > 0 && one.state == ContainerState::Running => {
            words::age(now_millis.saturating_sub(started))
        }
        _ => String::new(),
    };
    [one.name.clone(), state, up, one.image.clone()]
}

fn widths(rows: &[[String; 4]]) -> [usize; 4] {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn row(one: &ContainerStatus, cells: &[String; 4], widths: &[usize; 4]) -> Line {
    let [name, state, up, image] = cells;
    let [name_width, state_width, up_width, image_width] = *widths;
    let (_, state_tone) = words::container_state(one.state, one.exit_code);
    let tone = match words::health(one.health) {
        (health, tone) if !health.is_empty() && one.state == ContainerState::Running => tone,
        _ => state_tone,
    };
    Line::from("  ")
        .toned(tone, words::sign(tone))
        .text(format!(" {name:name_width$}  "))
        .toned(tone, format!("{state:state_width$}"))
        .text(format!("  {up:>up_width$}  {image:image_width$}  "))
        .toned(Tone::Faint, ports(&one.ports).join(", "))
}

/// As docker spells them, but a port that is open on every address of both families is one: `8080->80/tcp`.
fn ports(ports: &[String]) -> Vec<String> {
    let everywhere = |port: &str| {
        let [four, six] = ["0.0.0.0", "[::]"].map(|any| format!("{any}:{port}"));
        ports.contains(&four) && ports.contains(&six)
    };
    let shown = ports.iter().filter_map(|port| {
        if let Some(rest) = port
            .strip_prefix("0.0.0.0:")
            .filter(|rest| everywhere(rest))
        {
            return Some(rest.to_owned());
        }
        let twin = port.strip_prefix("[::]:").is_some_and(everywhere);
        (!twin).then(|| port.clone())
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_open_on_both_families_is_shown_once() {
        let all = [
            "0.0.0.0:8080->80/tcp",
            "0.0.0.0:9000->9000/tcp",
            "127.0.0.1:53->53/udp",
            "[::]:8080->80/tcp",
            "[::1]:53->53/udp",
        ];
        let all = all.map(str::to_owned);
        let shown = [
            "8080->80/tcp",
            "0.0.0.0:9000->9000/tcp",
            "127.0.0.1:53->53/udp",
            "[::1]:53->53/udp",
        ];
        assert_eq!(ports(&all), shown);
    }
}
