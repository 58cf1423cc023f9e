//! Hosts are separate machines: processes, network, engine, disk and power.

use std::time::{Duration, Instant};

use tests::lab::{Cmd, Lab};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn hosts_of_two_labs_start_together_and_see_their_own_lab() {
    let (Some(one), Some(other)) = (Lab::start_or_skip(), Lab::start_or_skip()) else {
        return;
    };
    let [emilia, loa] = one.hosts(["emilia", "loa"]).unwrap();
    let stranger = other.host("emilia").unwrap();

    assert_eq!(loa.sh("hostname").unwrap(), "loa\n");
    assert_eq!(
        loa.sh("docker info -f '{{.ServerVersion}} {{.Driver}}'")
            .unwrap(),
        "26.1.5+dfsg1 overlay2\n"
    );
    assert_eq!(
        loa.sh("docker compose version --short").unwrap(),
        "2.26.1-4\n"
    );
    loa.sh(&format!("bash -c '</dev/tcp/{}/22'", emilia.ip()))
        .unwrap();
    assert_ne!(emilia.ip(), stranger.ip());
    assert_ne!(one.gateway(), other.gateway());
}

#[test]
fn exec_passes_words_input_environment_and_code_unharmed() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    let cmd = Cmd::new([
        "sh",
        "-c",
        "cat; echo \"$A|$1\"; echo wrong >&2; exit 7",
        "sh",
        "p@$$W 0'\"rD",
    ]);
    let finished = host
        .exec(&cmd.env("A", "{\"x\": 1}\n").input("in\n"))
        .unwrap();
    assert_eq!(finished.out(), "in\n{\"x\": 1}\n|p@$$W 0'\"rD\n");
    assert_eq!(
        (finished.err().as_str(), finished.code()),
        ("wrong\n", Some(7))
    );

    let start = Instant::now();
    let late = host.exec(&Cmd::shell("sleep 300 & sleep 300").deadline(Duration::from_millis(300)));
    assert!(late.unwrap_err().to_string().contains("not within"));
    assert!(start.elapsed() < SOON);
    assert_eq!(host.sh("pgrep sleep || echo none").unwrap(), "none\n");
}

#[test]
fn spawned_process_can_be_watched_stopped_and_killed() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    let line = "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done";
    let process = host.spawn(&Cmd::shell(line)).unwrap();
    process.wait_for("hello", SOON).unwrap();
    process.terminate();
    assert_eq!(process.wait(SOON).unwrap().code(), Some(3));
    assert_eq!(process.output(), "hello\nbye\n");

    let process = host.spawn(&Cmd::shell(line)).unwrap();
    process.wait_for("hello", SOON).unwrap();
    let exe = format!("/proc/{}/exe", process.pid());
    assert!(std::fs::read_link(&exe).unwrap().ends_with("bash"));
    process.kill();
    assert!(std::fs::read_link(&exe).is_err());
    assert!(
        process
            .wait_for("never", SOON)
            .unwrap_err()
            .to_string()
            .contains("it ended")
    );
}

#[test]
fn engine_stops_dies_and_starts_again() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    host.stop_docker().unwrap();
    assert!(host.sh("docker ps").is_err());
    host.start_docker().unwrap();
    host.kill_docker().unwrap();
    assert!(host.sh("docker ps").is_err());
    host.start_docker().unwrap();
    host.sh("docker ps").unwrap();
}

#[test]
fn disk_outlives_a_power_cut_and_memory_does_not() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    host.write_file("/var/lib/x/kept", "kept", 0o600).unwrap();
    host.write_file("/run/gone", "gone", 0o600).unwrap();
    host.sh("docker volume create kept").unwrap();
    let key = host.ssh_host_key().unwrap();
    host.power_off().unwrap();
    assert!(host.pid().is_err());
    host.power_on().unwrap();
    assert_eq!(
        host.sh("stat -c %a /var/lib/x/kept; ls /run/gone 2>&1 || docker volume ls -q")
            .unwrap(),
        "600\nls: cannot access '/run/gone': No such file or directory\nkept\n"
    );
    assert_eq!(host.ssh_host_key().unwrap(), key);
}

#[test]
fn network_can_be_cut_and_given_back() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    let reach = || {
        std::net::TcpStream::connect_timeout(&(host.ip(), 22).into(), Duration::from_millis(300))
    };
    reach().unwrap();
    host.link_down().unwrap();
    reach().unwrap_err();
    host.link_up().unwrap();
    tests::lab::until("sshd to be reached again", SOON, || reach().ok()).unwrap();
}

#[test]
fn root_can_log_in_with_the_labs_key() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let host = lab.host("emilia").unwrap();
    let known = lab.folder().join("known");
    std::fs::write(
        &known,
        format!("{} {}\n", host.ip(), host.ssh_host_key().unwrap()),
    )
    .unwrap();
    let output = std::process::Command::new("ssh")
        .args([
            "-o",
            &format!("UserKnownHostsFile={}", known.display()),
            "-o",
            "BatchMode=yes",
            "-i",
        ])
        .arg(lab.ssh_key())
        .args([&format!("root@{}", host.ip()), "hostname"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "emilia\n",
        "{output:?}"
    );
}
