//! Networks and neighbours that misbehave without a word: long and lossy ways, links that go silent in one direction
//! or in both, an agent and a reader that are frozen. Nobody waits for ever, and the work goes on.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::relay::{Length, Wire, stand_in};
use crate::whole::{claim_every_event_once, claim_whole};
use crate::world::{WEB, eventually, world};

/// A ping goes out every ten seconds and has ten to be answered; a busy machine adds to it.
const NOTICED: Duration = Duration::from_secs(26);

/// Another fleet file, in which the host has this address.
fn fleet_at(alone: &Alone<'_>, file: &str, address: Ipv4Addr) {
    let folder = alone.case.folder.path();
    let text = fs::read_to_string(folder.join("fleet.toml")).unwrap();
    let text = text.replace(&alone.host.ip().to_string(), &address.to_string());
    fs::write(folder.join(file), text).unwrap();
}

/// A version that needs so long to be healthy.
fn slow(alone: &Alone<'_>, millis: u32) {
    let text = WEB
        .replace(
            "FIXTURE_SHOW: NOTHING",
            &format!("FIXTURE_HEALTHY_AFTER_MS: \"{millis}\""),
        )
        .replace("retries: 3", "retries: 60");
    alone.case.write("compose.yaml", &text);
}

/// What the agent has on record as running, as it stands on its disk.
fn current(alone: &Alone<'_>) -> Vec<u8> {
    let path = format!("/var/lib/longshore/stacks/{}/current.json", alone.name());
    alone.host.read_file(path).unwrap()
}

#[test]
fn over_a_long_narrow_and_lossy_way_a_deploy_goes_through_and_stays_live() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "faraway");
    let here = stand_in(alone.host.ip());
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
fn a_link_that_goes_silent_either_way_is_noticed_by_both_ends_and_the_deploy_goes_on() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "parted");
    let [a, b, c, _] = alone.host.ip().octets();
    // Each way to the host has an address of its own, so that each can fail in its own manner.
    let ways = [("both", 241), ("in", 242), ("out", 243)].map(|(name, last)| {
        let address = Ipv4Addr::new(a, b, c, last);
        let line = format!("ip address add {address}/24 dev eth0");
        alone.host.sh(&line).unwrap();
        fleet_at(&alone, &format!("{name}.toml"), address);
        (name, address)
    });
    slow(&alone, 6000);
    alone.case.write(".env", "TAG=2\n");
    let name = alone.name().to_owned();
    let deploy = [
        "--fleet",
        "both.toml",
        "deploy",
        &name,
        "--yes",
        "-o",
        "jsonl",
    ];
    let mut deploy = Beside::start(&alone.case, &deploy);
    deploy.until("verifying");
    let attached = ["in.toml", "out.toml"].map(|file| {
        let words = ["--fleet", file, "attach", &name, "-o", "jsonl"];
        let mut attached = Beside::start(&alone.case, &words);
        attached.until("verifying");
        attached
    });
    let cut = |verb: &str| {
        let rules = ways.iter().flat_map(|(way, address)| {
            let inward =
                (*way != "out").then(|| format!("iptables {verb} INPUT -d {address} -j DROP"));
            let outward =
                (*way != "in").then(|| format!("iptables {verb} OUTPUT -s {address} -j DROP"));
            inward.into_iter().chain(outward)
        });
        let rules: Vec<String> = rules.collect();
        alone.host.sh(&rules.join(" && ")).unwrap();
    };
    let before = current(&alone);
    cut("-I");
    let silent = Instant::now();
    // The deploy is the agent's, and goes on with nobody there to see it.
    eventually("the deploy ends unseen", || current(&alone) != before);
    let [inward, mut outward] = attached;
    for watcher in [&mut deploy, &mut outward] {
        watcher.until("link_lost");
    }
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    let established = ways
        .map(|(_, address)| format!("src {address}"))
        .join(" or ");
    eventually("the agent lets the dead connections go", || {
        let line = format!("ss -Htn state established '( {established} )'");
        alone.host.sh(&line).unwrap().trim().is_empty()
    });
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    // Who comes while it is silent is told which host does not answer.
    let words = ["--fleet", "in.toml", "status", &name];
    alone.case.controller(&words).with(6, &[&name, "5 s"]);
    cut("-D");
    // What the agent says arrived while nothing reached it.
    let (code, said) = inward.end();
    assert_eq!(code, 0, "{said}");
    claim_every_event_once(&said, "over half a link");
    for watcher in [deploy, outward] {
        let (code, said) = watcher.end();
        assert_eq!(code, 0, "{said}");
        claim_every_event_once(&said, "after the silence");
        let lost = said.lines().find(|line| line.contains("link_lost"));
        assert!(lost.is_some_and(|line| line.contains(&name)), "{said}");
    }
    claim_whole(&alone, "after the silence");
}

#[test]
fn an_agent_that_was_frozen_in_a_deploy_is_named_and_does_no_step_twice() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "icebound");
    let name = alone.name().to_owned();
    slow(&alone, 3000);
    alone.case.write(".env", "TAG=2\n");
    let words = ["deploy", &name, "--yes", "-o", "jsonl"];
    let mut deploy = Beside::start(&alone.case, &words);
    deploy.until("verifying");
    alone.freeze_agent();
    let frozen = Instant::now();
    let lost = deploy.find("link_lost");
    assert!(frozen.elapsed() < NOTICED, "{:?}", frozen.elapsed());
    assert!(lost.contains(&name), "{lost}");
    alone
        .case
        .controller(&["status", &name])
        .with(6, &[&name, "5 s"]);
    alone.thaw_agent();
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    claim_every_event_once(&said, "after the frost");
    for state in ["applying", "verifying", "committed"] {
        let entered = format!("\"state\":\"{state}\"");
        let times = said
            .lines()
            .filter(|line| line.contains("state_entered") && line.contains(&entered));
        assert_eq!(times.count(), 1, "{state}:\n{said}");
    }
    claim_whole(&alone, "after the frost");
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
