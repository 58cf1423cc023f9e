//! What is to be done on servers of every kind.

use super::*;
use crate::enrol::survey::Installed;

const NOW: i64 = 1_795_000_000;
const DAY: i64 = 24 * 60 * 60;

fn bare() -> Survey {
    Survey {
        machine: "x86_64".into(),
        kernel: "Linux".into(),
        title: "Debian GNU/Linux 13 (trixie)".into(),
        now: Some(NOW + 2),
        systemd: true,
        apt: true,
        free: Some(1 << 30),
        engine: Part::Version("26.1.5".into()),
        compose: Part::Version("2.26.1".into()),
        ..Survey::default()
    }
}

fn ours() -> Starter {
    let [launch, unit] = ["cd", "ef"].map(|digest| Some(digest.into()));
    Starter { launch, unit }
}

fn host() -> Survey {
    Survey {
        agent: Some("ab".into()),
        version: Some("0.1.0".into()),
        starter: ours(),
        identity: Some(Installed {
            host: "emilia".into(),
            fleet: "opq".into(),
            authorities: "fp".into(),
            fleet_id: "id".into(),
            expires: NOW + 300 * DAY,
        }),
        enrolled: true,
        active: true,
        ..bare()
    }
}

fn planned(survey: &Survey, install_docker: bool) -> Result<Vec<Planned>, Fault> {
    let goal = Goal {
        host: &"emilia".parse().unwrap(),
        fleet: &"opq".parse().unwrap(),
        authorities: "fp",
        fleet_id: "id",
        version: "0.1.0",
        sha256: "ab",
        starter: &ours(),
        size: 9_800_000,
        install_docker,
        address: "emilia:7433",
        now: NOW,
    };
    plan(survey, &goal)
}

fn text(survey: &Survey, install_docker: bool) -> String {
    let steps = planned(survey, install_docker).unwrap();
    let line = |one: &Planned| {
        let mark = if one.needed { "+" } else { "=" };
        format!("{mark} {} {}", one.step.word(), one.what)
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_bare_server_needs_everything() {
    insta::assert_snapshot!(text(&bare(), false), @r"
    + agent send 0.1.0 (9.8 MB) and install it
    + identity make a key there, and sign it as longshore://opq/host/emilia
    + service start longshore-agent.service
    + link prove that emilia:7433 answers as emilia
    ");
}

#[test]
fn a_host_needs_nothing_but_the_proof() {
    insta::assert_snapshot!(text(&host(), true), @r"
    = agent 0.1.0 is installed
    = identity longshore://opq/host/emilia
    = service longshore-agent.service runs
    + link prove that emilia:7433 answers as emilia
    ");
}

#[test]
fn what_starts_an_agent_belongs_to_its_version() {
    let mut survey = host();
    survey.starter.unit = Some("00".into());
    insta::assert_snapshot!(text(&survey, false), @r"
    + agent send the unit file and the launcher of 0.1.0
    = identity longshore://opq/host/emilia
    + service restart longshore-agent.service
    + link prove that emilia:7433 answers as emilia
    ");
    survey.starter.unit = None;
    assert!(text(&survey, false).starts_with("+ agent send the unit"));
    survey.systemd = false;
    assert!(text(&survey, false).starts_with("= agent 0.1.0 is installed"));
    survey.starter.launch = None;
    assert!(text(&survey, false).starts_with("+ agent send the unit"));
    // The agent of somebody who is ahead, and what starts that.
    survey.agent = Some("other".into());
    survey.version = Some("0.2.0".into());
    assert!(text(&survey, false).starts_with("= agent 0.2.0 is installed, newer"));
}

#[test]
fn missing_docker_is_told_and_installed_only_when_asked_for() {
    let mut survey = host();
    survey.engine = Part::Missing;
    survey.compose = Part::Version("1.29.2".into());
    let told = "= docker Docker missing, and Compose 1.29.2 is too old";
    assert!(text(&survey, false).starts_with(told));
    assert!(text(&survey, true).starts_with("+ docker install Docker and Compose from"));
    survey.compose = Part::Missing;
    assert!(text(&survey, false).starts_with("= docker Docker and Compose missing"));
    // As Ubuntu 24.04 was delivered.
    survey.compose = Part::Version("2.24.6+ds1-0ubuntu2".into());
    survey.engine = Part::Silent;
    assert!(text(&survey, false).starts_with("= docker Compose 2.24.6+ds1-0ubuntu2 is too old"));
    assert!(text(&survey, true).starts_with("+ docker install Compose from"));
    survey.apt = false;
    assert!(
        planned(&survey, true)
            .unwrap_err()
            .what
            .contains("Debian and Ubuntu only")
    );
}

#[test]
fn a_certificate_that_ends_is_made_anew_and_the_agent_restarted() {
    for (left, why) in [(-DAY, "has expired"), (10 * DAY, "ends soon")] {
        let mut survey = host();
        survey.identity.as_mut().unwrap().expires = NOW + left;
        let text = text(&survey, false);
        assert!(text.contains("+ identity its certificate"), "{text}");
        assert!(
            text.contains(why) && text.contains("+ service restart"),
            "{text}"
        );
    }
}

#[test]
fn somebody_elses_host_is_left_alone() {
    for change in [
        |found: &mut Installed| found.host = "loa".into(),
        |found: &mut Installed| found.fleet = "other".into(),
        |found: &mut Installed| {
            (found.authorities, found.fleet_id) = ("other".into(), "another".into());
        },
    ] {
        let mut survey = host();
        change(survey.identity.as_mut().unwrap());
        assert_eq!(
            planned(&survey, false).unwrap_err().kind,
            FaultKind::Refused
        );
    }
}

#[test]
fn a_host_that_missed_how_its_authorities_were_replaced_comes_back() {
    for (authorities, fleet_id) in [("older", "id"), ("id", "")] {
        let mut survey = host();
        let found = survey.identity.as_mut().unwrap();
        (found.authorities, found.fleet_id) = (authorities.into(), fleet_id.into());
        let text = text(&survey, false);
        assert!(
            text.contains("+ identity its authorities were replaced"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_become_a_host_is_refused_before_anything_is_changed() {
    let mut survey = bare();
    survey.kernel = "Darwin".into();
    assert!(planned(&survey, false).unwrap_err().what.contains("Linux"));
    let mut survey = bare();
    survey.now = Some(NOW - 2 * 60 * 60);
    assert!(
        planned(&survey, false)
            .unwrap_err()
            .what
            .contains("120 minutes apart")
    );
    let mut survey = bare();
    survey.free = Some(10 << 20);
    assert!(
        planned(&survey, false)
            .unwrap_err()
            .what
            .contains("10 MiB free")
    );
}

#[test]
fn a_newer_agent_is_kept_and_an_older_one_replaced() {
    let version = |version: &str| {
        let mut survey = host();
        survey.agent = Some("cd".into());
        survey.version = Some(version.into());
        text(&survey, false)
    };
    assert!(version("0.10.0").contains("= agent 0.10.0 is installed, newer"));
    assert!(version("0.0.9").contains("+ agent send 0.1.0 (9.8 MB), in place of 0.0.9"));
    assert!(version("0.1.0").contains("in place of 0.1.0"));
}
