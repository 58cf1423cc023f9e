//! Recorded events give the same screen again; plans and status are as reviewed.

use proto::event::ContainerState;
use proto::event::Health;
use proto::fault::{Fault, FaultKind};
use proto::hook::When;
use proto::id::{PlanId, RevisionId};
use proto::plan::{
    Action, Change, Disk, Downtime, FieldChange, FilePlan, HookPlan, HostFile, ImagePlan,
    OrphanPlan, Part, Plan, ServicePlan,
};
use proto::status::{ContainerStatus, StackStatus};

use super::plan::{PlanView, changes};
use super::status::HostView;
use super::*;
use crate::exit::Exit;
use crate::terminal::capture::Capture;
use crate::terminal::{Line, Look};

/// As `deploy -o jsonl` wrote it: two hosts, one of which rolls back after its link was lost for a while.
const RECORDED: &str = include_str!("recorded.jsonl");

fn recorded() -> Vec<FleetEvent> {
    RECORDED
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn place(text: &str) -> Place {
    let (host, stack) = text.split_once('/').unwrap();
    Place {
        host: host.parse().unwrap(),
        stack: stack.parse().unwrap(),
    }
}

fn places() -> Vec<Place> {
    vec![place("emilia/opq"), place("konane/opq")]
}

fn joined(lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_recorded_deploy_replays_as_lines() {
    let capture = Capture::new("");
    let terminal = capture.terminal(Look::default());
    let mut screen = Screen::new(&terminal, Kind::Human, places());
    for event in recorded() {
        screen.show(&event);
    }
    let board = screen.finish();
    assert_eq!(board.exit(), Exit::Partial);
    insta::assert_snapshot!("recorded_out", capture.out());
    insta::assert_snapshot!("recorded_err", capture.err());
}

#[test]
fn a_recorded_deploy_replays_as_the_same_json() {
    let capture = Capture::new("");
    let terminal = capture.terminal(Look::default());
    let mut screen = Screen::new(&terminal, Kind::Json, places());
    for event in recorded() {
        screen.show(&event);
    }
    drop(screen.finish());
    assert_eq!(capture.out(), RECORDED);
}

#[test]
fn the_live_screen_fits_and_follows_the_events() {
    let mut board = Board::new(places());
    let mut frames = String::new();
    for (n, event) in recorded().iter().enumerate() {
        board.apply(event);
        for height in [24, 6, 2] {
            let frame = tree::Frame {
                width: 90,
                height,
                beat: n,
                elapsed: &|site| site.deploy.map(|_| site.elapsed_millis()),
            };
            let rows = tree::rows(&board, &frame);
            assert!(rows.len() < height.max(2), "{height}: {rows:?}");
            assert!(rows.iter().all(|row| row.width() < 90));
            // Every step in its fullest form would be a book; the turning points will do.
            if height == 24 && [5, 8, 17, 21].contains(&n) {
                frames.push_str(&format!("--- after {} events\n{}\n", n + 1, joined(&rows)));
            }
            if height == 2 && n == 8 {
                frames.push_str(&format!("--- the same in 2 rows\n{}\n", joined(&rows)));
            }
        }
    }
    insta::assert_snapshot!(frames);
}

#[test]
fn many_hosts_have_a_row_each() {
    let name = |n| place(&format!("host-{n}/opq"));
    let board = Board::new((0..40).map(name));
    let frame = |height| tree::Frame {
        width: 80,
        height,
        beat: 0,
        elapsed: &|_| None,
    };
    assert_eq!(tree::rows(&board, &frame(60)).len(), 40);
    let rows = tree::rows(&board, &frame(10));
    assert_eq!(rows.len(), 9);
    assert_eq!(rows[8].to_string(), "  and 32 more at work, 0 ended");
}

fn file(path: &str, change: Change, host: HostFile) -> FilePlan {
    FilePlan {
        path: path.parse().unwrap(),
        change,
        host,
    }
}

fn service(name: &str, action: Action, reasons: &[&str]) -> ServicePlan {
    ServicePlan {
        service: name.parse().unwrap(),
        action,
        reasons: reasons.iter().map(ToString::to_string).collect(),
        replicas: if name == "worker" { 3 } else { 1 },
        fields: Vec::new(),
        downtime: None,
    }
}

fn field(name: &str, before: &str, after: &str) -> FieldChange {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    FieldChange {
        name: name.to_owned(),
        change: match (before, after) {
            ("", _) => Change::Added,
            (_, "") => Change::Removed,
            _ => Change::Changed,
        },
        before: text(before),
        after: text(after),
    }
}

fn mauka() -> ServicePlan {
    ServicePlan {
        fields: vec![
            field(
                "image",
                "openpowerquality/mauka:1.12.0",
                "openpowerquality/mauka:1.12.1",
            ),
            field("environment DB_URL", "k:1f3a9c", "k:77b0e2"),
            field("ports", "127.0.0.1:8080:80/tcp", ""),
            field("ports", "", "8443:443/tcp"),
            field("command", "", "k:0a12f4"),
        ],
        downtime: Some(Downtime {
            millis: Some(4200),
            with_stop: true,
        }),
        ..service(
            "mauka",
            Action::Recreate,
            &["mounted file data/mauka.json changed"],
        )
    }
}

fn plan() -> Plan {
    Plan {
        id: PlanId::from_bytes([1; 16]),
        stack: "opq".parse().unwrap(),
        project: "opq".parse().unwrap(),
        base: Some(RevisionId::from_bytes([0xab; 32])),
        part: None,
        expires_in: 3600,
        services: vec![
            mauka(),
            service("worker", Action::Create, &["is new in the stack"]),
            service("certbot", Action::Start, &["exists, but does not run"]),
            service("mongo", Action::Keep, &[]),
            service("nginx", Action::Keep, &[]),
        ],
        images: vec![
            ImagePlan {
                reference: "openpowerquality/mauka:1.12.1".to_owned(),
                digest: Some("sha256:3c64a2f29066".to_owned()),
                pull: true,
                services: vec!["mauka".parse().unwrap(), "worker".parse().unwrap()],
                before: Some("sha256:99aa71c0ffee".to_owned()),
                bytes: Some(48_300_000),
                ..ImagePlan::default()
            },
            ImagePlan {
                reference: "mongo:4".to_owned(),
                digest: None,
                pull: false,
                services: vec!["mongo".parse().unwrap()],
                ..ImagePlan::default()
            },
            ImagePlan {
                reference: "registry/demo:local".to_owned(),
                services: vec!["nginx".parse().unwrap()],
                unasked: Some("pull_policy never".to_owned()),
                ..ImagePlan::default()
            },
            ImagePlan {
                reference: "registry/old:1".to_owned(),
                digest: Some("sha256:77aa71c0ffee".to_owned()),
                pull: true,
                services: vec!["certbot".parse().unwrap()],
                platform: Some("linux/386".to_owned()),
                ..ImagePlan::default()
            },
        ],
        files: vec![
            FilePlan {
                path: "data/mauka.json".parse().unwrap(),
                change: Change::Changed,
                host: HostFile::AsLaidOut,
            },
            file("data/users.json", Change::Changed, HostFile::Changed),
            file("data/lost.json", Change::Added, HostFile::Gone),
            file("data/old.json", Change::Removed, HostFile::Changed),
        ],
        kept_files: vec!["data/app.db".parse().unwrap()],
        orphans: vec![
            OrphanPlan {
                container: "opq-old-1".to_owned(),
                service: "old".parse().unwrap(),
                in_the_way: Vec::new(),
            },
            OrphanPlan {
                container: "opq-proxy-1".to_owned(),
                service: "proxy".parse().unwrap(),
                in_the_way: vec!["port 80/tcp of view".to_owned()],
            },
        ],
        warnings: vec!["DB_PASSWORD is set in this shell but was not taken".to_owned()],
        notes: vec!["mongo:4 is used by stack portal too".to_owned()],
        project_directory: "/srv/opq".to_owned(),
        disk: Some(Disk {
            path: "/var/lib/docker".to_owned(),
            free: 12_400_000_000,
        }),
        hooks: Vec::new(),
        adoption: None,
    }
}

fn view(at: &str, plan: Plan, remove_orphans: bool) -> PlanView {
    PlanView {
        place: place(at),
        changes: changes(&plan, remove_orphans),
        remove_orphans,
        plan,
    }
}

#[test]
fn plans_are_shown_once_and_name_everything() {
    let other = Plan {
        id: PlanId::from_bytes([2; 16]),
        ..plan()
    };
    let views = [
        view("emilia/opq", plan(), false),
        view("konane/opq", other, false),
        view("leilani/opq", plan(), true),
    ];
    insta::assert_snapshot!(joined(&plan::lines(&views)));
}

#[test]
fn a_plan_lists_its_hooks_where_they_would_run() {
    let hook = |when, gate, save: Option<&str>| HookPlan {
        when,
        service: "db".parse().unwrap(),
        command: "pg_dump -U postgres".to_owned(),
        gate,
        one_off: when == When::After,
        save: save.map(str::to_owned),
        on_host: gate,
    };
    let hooks = vec![
        hook(When::Before, false, Some("backups/{time}.sql")),
        hook(When::Before, true, None),
        hook(When::After, false, None),
    ];
    let with = Plan { hooks, ..plan() };
    let settled = Plan {
        services: Vec::new(),
        images: Vec::new(),
        files: Vec::new(),
        ..with.clone()
    };
    let shown = |plan: Plan| joined(&plan::lines(&[view("emilia/opq", plan, false)]));
    let about = |text: String| {
        let lines = text.lines().filter(|line| line.contains("pg_dump"));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(about(shown(with)), @r"
    » before    db  pg_dump -U postgres, kept in backups/{time}.sql
    » before    db  pg_dump -U postgres, a gate
    » after     db  pg_dump -U postgres, in a container of its own
    ");
    assert_eq!(about(shown(settled)), "");
}

#[test]
fn a_plan_for_some_services_says_so_first() {
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let part = |named: &[&str], needed: &[&str]| Plan {
        part: Some(Part {
            named: names(named),
            needed: names(needed),
        }),
        ..plan()
    };
    let first = |plan: Plan| plan::lines(&[view("emilia/opq", plan, false)])[1].to_string();
    assert_eq!(
        first(part(&["view"], &["mongo"])),
        "  only view and what it depends on: mongo"
    );
    assert_eq!(
        first(part(&["view", "makai"], &["mongo", "health"])),
        "  only makai, view and what they depend on: health, mongo"
    );
    assert_eq!(first(part(&["view"], &[])), "  only view");
}

#[test]
fn orphans_alone_are_no_change_unless_they_would_go() {
    let orphans = Plan {
        services: vec![service("mongo", Action::Keep, &[])],
        images: Vec::new(),
        files: Vec::new(),
        ..plan()
    };
    assert!(!changes(&orphans, false));
    assert!(changes(&orphans, true));
    insta::assert_snapshot!(joined(&plan::lines(&[view("emilia/opq", orphans, false)])));
}

#[test]
fn a_plan_has_a_stable_json_form() {
    let text = serde_json::to_string_pretty(&view("emilia/opq", plan(), true)).unwrap();
    insta::assert_snapshot!(text);
}

const NOW: u64 = 1_772_366_400_000;

fn container(name: &str, state: ContainerState, health: Health) -> ContainerStatus {
    ContainerStatus {
        id: "f00".to_owned(),
        name: format!("opq-{name}-1"),
        service: name.parse().unwrap(),
        state,
        health,
        health_at_millis: match health {
            Health::Healthy => NOW - 3_000,
            _ => 0,
        },
        image: format!("openpowerquality/{name}:1.12.1"),
        exit_code: 137,
        started_at_millis: NOW - 7_300_000,
        ports: vec!["127.0.0.1:8080->80/tcp".to_owned()],
    }
}

fn host(name: &str) -> HostView {
    HostView {
        host: name.parse().unwrap(),
        agent: Some("0.1.0".to_owned()),
        engine: Some("28.0.1".to_owned()),
        stacks: Vec::new(),
        missing: Vec::new(),
        fault: None,
    }
}

fn hosts() -> Vec<HostView> {
    let stack = StackStatus {
        stack: "opq".parse().unwrap(),
        project: "opq".parse().unwrap(),
        revision: Some(RevisionId::from_bytes([0xab; 32])),
        committed_at_millis: NOW - 90_000,
        committed_by: "ana".to_owned(),
        containers: vec![
            container("mauka", ContainerState::Running, Health::Healthy),
            container("view", ContainerState::Running, Health::Starting),
            container("health", ContainerState::Exited, Health::None),
        ],
        deploy: None,
        confirm_within: None,
        needs_reconcile: false,
    };
    let down = Fault::new(FaultKind::Unreachable, "no connection");
    vec![
        HostView {
            stacks: vec![stack],
            ..host("emilia")
        },
        HostView {
            missing: vec!["portal".parse().unwrap()],
            ..host("konane")
        },
        HostView {
            agent: None,
            engine: None,
            fault: Some(down),
            ..host("leilani")
        },
        host("makena"),
    ]
}

#[test]
fn status_is_a_block_for_each_stack() {
    insta::assert_snapshot!(joined(&status::lines(&hosts(), NOW)));
}

#[test]
fn status_has_a_stable_json_form() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&hosts()[..1]).unwrap());
}

#[test]
fn how_long_a_service_is_away_is_said_as_far_as_it_is_known() {
    let said = |millis, with_stop| {
        let mut plan = plan();
        plan.services[0].downtime = Some(Downtime { millis, with_stop });
        let lines = plan::lines(&[view("emilia/opq", plan, false)]);
        let texts = lines.iter().map(ToString::to_string);
        let found = texts.into_iter().find(|line| line.contains("without"));
        found.unwrap().trim().to_owned()
    };
    assert_eq!(
        said(Some(4200), true),
        "about 4 s without mauka (measured at its last start)"
    );
    assert_eq!(
        said(Some(400), false),
        "at least 1 s without mauka (its last start; its stop was not measured yet)"
    );
    assert_eq!(said(None, false), "time without mauka: not measured yet");
}
