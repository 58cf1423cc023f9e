//! Networks and neighbours that misbehave without a word: a long and lossy way, a reader that is frozen. Nobody waits
//! for ever, and the work goes on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::relay::{Length, Wire};
use crate::whole::{claim_every_event_once, claim_whole};
use crate::world::{WEB, eventually, world};

/// Another fleet file, in which the host has this address.
fn fleet_at(alone: &Alone<'_>, file: &str, address: Ipv4Addr) {
    let folder = alone.case.folder.path();
    let text = fs::read_to_string(folder.join("fleet.toml")).unwrap();
    let text = text.replace(&alone.host.ip().to_string(), &address.to_string());
    fs::write(folder.join(file), text).unwrap();
}

#[test]
fn over_a_long_narrow_and_lossy_way_a_deploy_goes_through_and_stays_live() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "faraway");
    let here = Ipv4Addr::new(127, 0, 74, 35);
    let _way = Wire::long(
        SocketAddr::from((alone.host.ip(), 7433)),
        here,
        Length {
            latency: Duration::from_millis(150),
            rate: 125_000,
        },
    );
    fleet_at(&alone, "far.toml", here);
    let lose = "-m statistic --mode random --probability 0.05 -j DROP";
    let line = format!(
        "iptables -I INPUT -p tcp --dport 7433 {lose} && iptables -I OUTPUT -p tcp --sport 7433 {lose}"
    );
    alone.host.sh(&line).unwrap();
    // What no compression makes small.
    let text: String = (0..40_000_u32)
        .map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)))
        .collect();
    alone.case.write("settings.txt", &text);
    let mounted = WEB.replace(
        "    restart: always\n",
        "    restart: always\n    volumes: [\"./settings.txt:/settings.txt:ro\"]\n",
    );
    alone.case.write("compose.yaml", &mounted);
    alone.case.write(".env", "TAG=2\n");
    let words = [
        "--fleet",
        "far.toml",
        "deploy",
        alone.name(),
        "--yes",
        "-o",
        "jsonl",
    ];
    let began = Instant::now();
    let mut deploy = Beside::start(&alone.case, &words);
    let mut heard = Vec::new();
    while let Some(line) = deploy.line() {
        if line.contains("\"agent\":{") {
            heard.push(began.elapsed());
        }
    }
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("link_lost"), "{said}");
    claim_every_event_once(&said, "over a bad way");
    // Told as it happens, and not all at its end.
    let (first, last) = (heard[0], heard[heard.len() - 1]);
    assert!(last - first > Duration::from_millis(500), "{heard:?}");
    claim_whole(&alone, "over a bad way");
}

#[test]
fn a_reader_of_logs_that_was_frozen_costs_the_agent_no_memory_and_sees_its_gap() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "torrent");
    let name = alone.name().to_owned();
    let loud = WEB.replace(
        "FIXTURE_SHOW: NOTHING",
        "FIXTURE_LOG_EVERY_MS: \"1\", FIXTURE_LOG_WIDTH: \"16000\"",
    );
    alone.case.write("compose.yaml", &loud);
    alone.deploy().done();
    let most = || -> u64 {
        let line = "grep VmHWM /proc/$(pgrep -x agent)/status";
        let told = alone.host.sh(line).unwrap();
        told.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let place = format!("{name}/{name}");
    let words = ["logs", &place, "-f", "-n", "1", "--no-prefix"];
    let mut reader = Beside::start(&alone.case, &words);
    reader.line().unwrap();
    let before = most();
    reader.signal("STOP");
    let log = format!("$(docker inspect -f '{{{{.LogPath}}}}' {name}-web-1)");
    let printed = || -> u64 {
        let told = alone.host.sh(&format!("stat -c %s {log}"));
        told.unwrap().trim().parse().unwrap()
    };
    let begun = printed();
    // Others are served meanwhile, each as quickly as ever.
    eventually("much is printed", || {
        let began = Instant::now();
        alone.case.controller(&["status", &name]).done();
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        printed() > begun + 64 * 1024 * 1024
    });
    let tail = ["logs", &place, "-n", "1", "--no-prefix"];
    assert!(alone.case.controller(&tail).done().contains("line "));
    let grown = most() - before;
    assert!(grown < 48 * 1024, "it grew by {grown} KiB");
    reader.signal("CONT");
    let gap = reader.find("missing here");
    assert!(gap.contains("this reader was too slow"), "{gap}");
    reader.line().unwrap();
    reader.signal("TERM");
    reader.end();
}
