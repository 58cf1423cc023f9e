//! What goes through the door comes back the same; what is malformed does not get in.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::{Event, EventKind, LayerPhase, Outcome, State};
use crate::fault::{Fault, FaultKind, FaultReason};
use crate::hook::{Gate, Hook, Names, Save, SavePlace, Saved, When};
use crate::id::{BlobId, DeployId, PlanId, ServiceName};
use crate::plan::{
    Action, Adoption, Change, Disk, Downtime, FieldChange, FilePlan, HookPlan, HostFile, ImagePlan,
    OrphanPlan, Part, Plan, Scope, ServicePlan,
};
use crate::probe::{Check, Probe};
use crate::stack::{ShippedFile, StackOffer, StackSpec, Value};

fn probe(check: Check) -> Probe {
    Probe {
        service: "web".parse().unwrap(),
        check,
        timeout: Duration::from_secs(5),
        interval: Duration::from_millis(1500),
    }
}

fn hook(gate: Option<Gate>) -> Hook {
    Hook {
        when: When::Before,
        service: "db".parse().unwrap(),
        run: vec!["pg_dump".to_owned(), "exampleP@$$W0RD".to_owned()],
        one_off: gate.is_none(),
        timeout_seconds: 60,
        gate,
        save: Some(Save {
            place: SavePlace::Host,
            file: "/backups/{time}.sql".parse().unwrap(),
        }),
    }
}

fn offer() -> StackOffer {
    StackOffer {
        spec: spec(),
        available: vec!["sub/compose.yaml".parse().unwrap()],
        default_project: Some("folder".parse().unwrap()),
    }
}

fn spec() -> StackSpec {
    StackSpec {
        stack: "opq".parse().unwrap(),
        project: "opq".parse().unwrap(),
        compose_files: vec!["docker-compose.yml".parse().unwrap()],
        env_files: vec![".env".parse().unwrap(), "eu.env".parse().unwrap()],
        folder: Some("docker".parse().unwrap()),
        directory: Some("/srv/opq".parse().unwrap()),
        profiles: vec!["extra".to_owned()],
        values: vec![Value::new("A".parse().unwrap(), "{\"a\": \"$b\"}".to_owned(), true).unwrap()],
        allow_undefined: vec!["B".parse().unwrap()],
        exclude: vec!["*.log".to_owned()],
        files: vec![ShippedFile {
            path: "data/nginx/nginx.conf".parse().unwrap(),
            mode: 0o644,
            size: 3,
            blob: BlobId::from_bytes([7; 32]),
        }],
        probes: vec![
            probe(Check::Http {
                port: 8080,
                path: "/health".to_owned(),
                status: Some(204),
            }),
            probe(Check::Tcp { port: 5432 }),
            probe(Check::Exec {
                argv: vec!["pg_isready".to_owned(), "-q".to_owned()],
            }),
        ],
        deadlines: [("web".parse().unwrap(), Duration::from_secs(180))].into(),
        hooks: vec![
            hook(None),
            hook(Some(Gate {
                at_least: Some(-1),
                at_most: None,
            })),
        ],
    }
}

#[test]
fn a_stack_survives_the_wire() {
    assert_eq!(
        StackOffer::try_from(wire::StageBegin::from(offer())),
        Ok(offer())
    );
}

#[test]
fn a_probe_that_asks_nothing_is_refused_at_the_door() {
    let mut message = wire::StageBegin::from(offer());
    message.probes[0].check = None;
    assert!(StackOffer::try_from(message).is_err());
    let mut message = wire::StageBegin::from(offer());
    message.deadlines[0].millis = 0;
    assert!(StackOffer::try_from(message).is_err());
}

#[test]
fn a_path_that_escapes_is_refused_at_the_door() {
    for path in ["../x", "/etc/passwd", "a/../../b", ""] {
        let mut message = wire::StageBegin::from(offer());
        message.files[0].path = path.to_owned();
        assert!(StackOffer::try_from(message).is_err(), "{path}");
    }
}

#[test]
fn a_directory_that_is_none_is_refused_at_the_door() {
    for path in ["/", "srv", "/srv/../etc"] {
        let mut message = wire::StageBegin::from(offer());
        path.clone_into(&mut message.directory);
        assert!(StackOffer::try_from(message).is_err(), "{path}");
    }
}

#[test]
fn a_hook_that_could_not_run_is_refused_at_the_door() {
    let refused = |spoil: fn(&mut wire::Hook)| {
        let mut message = wire::StageBegin::from(offer());
        spoil(&mut message.hooks[0]);
        assert!(StackOffer::try_from(message).is_err());
    };
    refused(|hook| hook.run.clear());
    refused(|hook| hook.run[1].push('\0'));
    refused(|hook| hook.timeout = 0);
    refused(|hook| hook.timeout = u32::MAX);
    refused(|hook| hook.save.as_mut().unwrap().file = "backups/x".to_owned());
    refused(|hook| hook.save.as_mut().unwrap().file = "/../x".to_owned());
    refused(|hook| hook.when = 0);
}

#[test]
fn a_setuid_mode_is_refused_at_the_door() {
    let mut message = wire::StageBegin::from(offer());
    message.files[0].mode = 0o4755;
    assert!(StackOffer::try_from(message).is_err());
}

fn names() -> impl Strategy<Value = BTreeSet<ServiceName>> {
    prop::collection::btree_set(
        "[a-z][a-z0-9_.-]{0,8}".prop_map(|name| name.parse().unwrap()),
        1..5,
    )
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Whole),
        names().prop_map(Scope::WithDependencies),
        names().prop_map(Scope::Alone),
    ]
}

fn plan(part: Option<Part>) -> Plan {
    Plan {
        id: PlanId::from_bytes([1; 16]),
        stack: "opq".parse().unwrap(),
        project: "opq".parse().unwrap(),
        base: None,
        part,
        expires_in: 3600,
        services: Vec::new(),
        images: Vec::new(),
        files: Vec::new(),
        kept_files: Vec::new(),
        orphans: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        project_directory: "/p".to_owned(),
        disk: None,
        hooks: vec![HookPlan {
            when: When::After,
            service: "db".parse().unwrap(),
            command: "pg_dump".to_owned(),
            gate: false,
            one_off: true,
            save: Some("backups/{time}.sql".to_owned()),
            on_host: false,
        }],
        adoption: None,
    }
}

fn name() -> impl Strategy<Value = ServiceName> {
    "[a-z][a-z0-9_.-]{0,8}".prop_map(|name| name.parse().unwrap())
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Added),
        Just(Change::Changed),
        Just(Change::Removed)
    ]
}

fn any_field() -> impl Strategy<Value = FieldChange> {
    let text = || prop::option::of(".{0,12}");
    (".{1,12}", any_change(), text(), text()).prop_map(|(name, change, before, after)| {
        FieldChange {
            name,
            change,
            before,
            after,
        }
    })
}

fn any_service() -> impl Strategy<Value = ServicePlan> {
    let action = prop_oneof![
        Just(Action::Create),
        Just(Action::Recreate),
        Just(Action::Start),
        Just(Action::Keep),
        Just(Action::Remove),
    ];
    let reasons = prop::collection::vec(".{0,12}", 0..3);
    let fields = prop::collection::vec(any_field(), 0..4);
    let downtime = (prop::option::of(any::<u64>()), any::<bool>())
        .prop_map(|(millis, with_stop)| Downtime { millis, with_stop });
    let downtime = prop::option::of(downtime);
    (name(), action, reasons, any::<u32>(), fields, downtime).prop_map(
        |(service, action, reasons, replicas, fields, downtime)| ServicePlan {
            service,
            action,
            reasons,
            replicas,
            fields,
            downtime,
        },
    )
}

fn any_image() -> impl Strategy<Value = ImagePlan> {
    let digest = || prop::option::of("sha256:[0-9a-f]{8}");
    let services = prop::collection::vec(name(), 0..3);
    let bytes = prop::option::of(any::<u64>());
    (
        "[a-z:]{1,9}",
        digest(),
        any::<bool>(),
        services,
        digest(),
        bytes,
        prop::option::of("linux/[a-z]{3}"),
        prop::option::of("pull_policy [a-z]{3}"),
    )
        .prop_map(
            |(reference, digest, pull, services, before, bytes, platform, unasked)| ImagePlan {
                reference,
                digest,
                pull,
                services,
                before,
                bytes,
                platform,
                unasked,
            },
        )
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let host = prop::sample::select(vec![HostFile::AsLaidOut, HostFile::Changed, HostFile::Gone]);
    let file = ("[a-z]{1,8}", any_change(), host).prop_map(|(path, change, host)| FilePlan {
        path: path.parse().unwrap(),
        change,
        host,
    });
    let kept = prop::collection::vec("[a-z]{1,8}".prop_map(|path| path.parse().unwrap()), 0..3);
    let needed = prop::collection::vec("port [0-9]{1,5}/tcp of [a-z]{1,8}", 0..3);
    let orphan =
        ("[a-z-]{1,8}", name(), needed).prop_map(|(container, service, in_the_way)| OrphanPlan {
            container,
            service,
            in_the_way,
        });
    let disk = ("/[a-z]{0,8}", any::<u64>()).prop_map(|(path, free)| Disk { path, free });
    let part = (names(), names()).prop_map(|(named, needed)| Part { named, needed });
    (
        prop::option::of(part),
        prop::collection::vec(any_service(), 0..4),
        prop::collection::vec(any_image(), 0..3),
        prop::collection::vec(file, 0..3),
        prop::collection::vec(orphan, 0..3),
        prop::collection::vec(".{0,20}", 0..3),
        prop::option::of(disk),
        prop::collection::vec(".{0,20}", 0..3),
        kept,
    )
        .prop_map(
            |(part, services, images, files, orphans, warnings, disk, notes, kept_files)| Plan {
                kept_files,
                services,
                images,
                files,
                orphans,
                warnings,
                disk,
                notes,
                ..plan(part)
            },
        )
}

proptest! {
    #[test]
    fn what_is_asked_for_survives_the_wire(scope in any_scope()) {
        let (services, no_deps) = scope_to_wire(scope.clone());
        prop_assert_eq!(scope_from_wire(services, no_deps), Ok(scope));
    }

    #[test]
    fn a_plan_survives_the_wire(plan in any_plan()) {
        prop_assert_eq!(Plan::try_from(wire::Plan::from(plan.clone())), Ok(plan));
    }
}

#[test]
fn what_a_plan_takes_over_survives_the_wire() {
    let adoption = Adoption {
        directory: "/srv/opq".to_owned(),
        inexact: ["web".parse().unwrap()].into(),
    };
    let plan = Plan {
        adoption: Some(adoption),
        ..plan(None)
    };
    assert!(plan.has_changes());
    assert_eq!(Plan::try_from(wire::Plan::from(plan.clone())), Ok(plan));
}

#[test]
fn a_part_of_nothing_is_refused_at_the_door() {
    assert!(scope_from_wire(Vec::new(), true).is_err());
    assert!(scope_from_wire(vec!["../x".to_owned()], false).is_err());
    let mut message = wire::Plan::from(plan(None));
    message.part = Some(wire::Part::default());
    assert!(Plan::try_from(message).is_err());
}

#[test]
fn an_unknown_action_is_refused_not_skipped() {
    let message = wire::ServicePlan {
        service: "web".to_owned(),
        action: 99,
        ..Default::default()
    };
    let error = crate::plan::ServicePlan::try_from(message).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message: action 99 is not known to this version"
    );
}

#[test]
fn every_kind_of_event_survives_the_wire() {
    let fault = Fault::new(FaultKind::Failed, "web did not become healthy")
        .reason(FaultReason::NotRestored)
        .hint("look at its logs");
    let kinds = [
        EventKind::Received {
            deploy: DeployId::from_bytes([1; 16]),
            stack: "opq".parse().unwrap(),
            operator: "ana".parse().unwrap(),
        },
        EventKind::StateEntered {
            state: State::Applying,
        },
        EventKind::HookStarted {
            hook: 0,
            when: When::Before,
            service: "db".parse().unwrap(),
            command: "pg_dump -U postgres".to_owned(),
        },
        EventKind::HookLine {
            hook: 0,
            text: "dumping".to_owned(),
        },
        EventKind::HookFinished {
            hook: 0,
            outcome: Outcome::Succeeded,
            exit_code: Some(0),
            number: Some("1201.5".to_owned()),
            saved: Some(Box::new(Saved {
                size: 3,
                blob: BlobId::from_bytes([9; 32]),
                names: Names::default(),
                file: Some("/backups/x.sql".to_owned()),
            })),
            note: None,
        },
        EventKind::LayerProgress {
            image: "a/b:1".to_owned(),
            layer: "3c64a2f29066".to_owned(),
            phase: LayerPhase::Downloading,
            current: 1,
            total: 2,
        },
        EventKind::Renewed {
            containers: vec!["opq-web-1".to_owned()],
        },
        EventKind::Finished {
            outcome: Outcome::TimedOut,
            state: State::Failed,
            revision: None,
            fault: Some(fault),
        },
    ];
    for (seq, kind) in (1..).zip(kinds) {
        let event = Event {
            seq,
            at_millis: 5,
            kind,
        };
        assert_eq!(Event::try_from(wire::Event::from(event.clone())), Ok(event));
    }
}

#[test]
fn a_fault_survives_a_status() {
    let fault = Fault::new(FaultKind::InvalidStack, "the Compose files do not resolve")
        .output(["service \"web\" refers to undefined network x".to_owned()])
        .hint("fix it");
    assert_eq!(
        fault_from_status(&fault_to_status(fault.clone())),
        Some(fault)
    );
}

#[test]
fn a_long_output_keeps_its_end_within_a_header() {
    let lines = (0..10_000).map(|n| format!("line {n}"));
    let status = fault_to_status(Fault::new(FaultKind::Failed, "it failed").output(lines));
    assert!(status.details().len() < 16 * 1024);
    let fault = fault_from_status(&status).unwrap();
    assert_eq!(fault.output.last().unwrap(), "line 9999");
}

#[test]
fn a_status_from_elsewhere_has_no_fault() {
    assert_eq!(
        fault_from_status(&tonic::Status::unavailable("connection reset")),
        None
    );
}

#[test]
fn a_fault_of_any_size_fits_a_header() {
    let long = "é".repeat(20_000);
    let many = || (0..10_000).map(|n| format!("{n}"));
    let mut faults = vec![
        Fault::new(FaultKind::Failed, long.clone()),
        Fault::new(FaultKind::Failed, "f")
            .cause(long.clone())
            .hint(long.clone()),
        Fault::new(FaultKind::Failed, "f").output(vec![String::new(); 100_000]),
        Fault::new(FaultKind::Failed, "f").output([long.clone(), "the last".to_owned()]),
    ];
    let mut crowded = Fault::new(FaultKind::Failed, long).output(many());
    crowded.causes.extend(many());
    crowded.hints.extend(many());
    faults.push(crowded);
    for fault in faults {
        let status = fault_to_status(fault.clone());
        // As base64, and with every byte of the sentence escaped.
        let header = status.details().len() * 4 / 3 + status.message().len() * 3;
        assert!(header < 16 * 1024, "{header}");
        let back = fault_from_status(&status).unwrap();
        assert!(fault.what.starts_with(back.what.trim_end_matches('…')));
        assert_eq!(back.causes.is_empty(), fault.causes.is_empty());
        assert_eq!(back.hints.is_empty(), fault.hints.is_empty());
        assert_eq!(back.output.last(), fault.output.last());
    }
}
