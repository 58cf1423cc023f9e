//! The agent is killed between any two of its changes to the host; the next one ends every deploy in old or new.
//!
//! A crash leaves what had been written by then, and containers as they were. So the host is copied after each write
//! and around each call of the engine, and on every copy another agent takes over.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::deployer::Submission;
use agent::engine::scripted::Behaviour;
use proto::event::Outcome;
use proto::hook::{Hook, SavePlace, When};
use proto::plan::Scope;
use serde_json::json;

use crate::adopt::{stack, start_by_hand};
use crate::agreed::claim_whole;
use crate::bundle::Bundle;
use crate::copies::Copies;
use crate::deeds::{NEW, life};
use crate::hooks::{hook, saving};
use crate::world::{DB, WEB, World, end, name, submission};

/// What happens to a host that may have a first version.
enum Change {
    Deploy(Bundle),
    Part(Bundle, Scope),
    /// The engine begins to restart the database, which is left alone.
    Shaken(Bundle),
    /// Nobody will.
    ToConfirm(Bundle),
    /// Of what somebody started by hand: started, then taken over by this.
    Adopt(Box<[Bundle; 2]>),
    RollBack,
    Down,
}

struct Scenario {
    before: Vec<Bundle>,
    change: Change,
    broken: Option<&'static str>,
}

fn version(web: &str, db: &str) -> Bundle {
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let services = json!({
        "web": { "image": web, "volumes": [conf] },
        "db": { "image": DB, "command": [db] },
    });
    Bundle::new("shop", services).file("conf/web.conf", web)
}

fn second() -> Bundle {
    let more = json!({ "image": "r/api:1" });
    let services = json!({
        "web": { "image": "r/web:2" },
        "db": { "image": DB, "command": ["2"] },
        "api": more,
    });
    Bundle::new("shop", services).file("new/file", "2")
}

impl Change {
    /// Submits it, taking copies from just before.
    async fn begin(&self, world: &World) -> Copies {
        let scope = match self {
            Self::Part(_, scope) => scope.clone(),
            _ => Scope::Whole,
        };
        let plan = match self {
            Self::Deploy(bundle)
            | Self::Part(bundle, _)
            | Self::Shaken(bundle)
            | Self::ToConfirm(bundle) => Some(world.plan_part(bundle, &scope).await.unwrap()),
            Self::Adopt(bundles) => Some(world.plan_adopting(&bundles[1]).await.unwrap()),
            _ => None,
        };
        let copies = Copies::of(world);
        let ana = "ana".parse().unwrap();
        let existed = match (self, plan) {
            (Self::ToConfirm(_), Some(plan)) => world.deployer.deploy(Submission {
                confirm_within: Some(Duration::from_secs(60)),
                ..submission(&plan, NEW)
            }),
            (_, Some(plan)) => world.submit(&plan, NEW),
            (Self::RollBack, _) => world.roll_back("shop", None, 99),
            _ => world.deployer.down(NEW, name("shop"), false, ana),
        };
        assert!(!existed.unwrap());
        if let Self::Shaken(_) = self {
            let crashes = Behaviour::crashes_every(Duration::from_secs(1));
            world.engine.live("shop-db-1", crashes);
        }
        copies
    }
}

impl Scenario {
    /// Runs it once, and then from every copy that was taken on the way; answers how many there were.
    fn survive(self) -> usize {
        let first = life();
        let (root, copies, whole, known, found) = first.block_on(async {
            let world = World::in_memory();
            for (number, bundle) in (1..).zip(&self.before) {
                let end = world.deploy(bundle, number).await;
                assert_eq!(end.outcome, Outcome::Succeeded);
            }
            let current = world.revision("shop");
            if let Some(image) = self.broken {
                let broken = Behaviour::crashes_every(Duration::from_secs(1));
                world.engine.behave(image, broken);
            }
            if let Change::Adopt(bundles) = &self.change {
                start_by_hand(&world, &bundles[0]).await;
            }
            let by_hand = matches!(self.change, Change::Adopt(..));
            let found = world.engine.all_containers().into_iter();
            let found: Vec<String> = found.filter(|_| by_hand).map(|it| it.id).collect();
            let copies = self.change.begin(&world).await;
            let whole = end(&mut world.deployer.watch(&NEW, 0).unwrap()).await;
            // Whatever else was committed before, a crash leaves this revision or that one.
            let mut known = BTreeSet::from([current, whole.revision]);
            let kept = world.store.revisions(&name("shop")).unwrap().into_iter();
            known.extend(kept.filter(|it| it.found.is_some()).map(|it| Some(it.id)));
            (world.path(""), copies.stop(), whole, known, found)
        });
        let count = copies.1.len();
        for (number, copy) in copies.1.into_iter().enumerate() {
            let world = World::take_over(copy.engine, &copy.state, &root);
            life().block_on(claim_whole(
                &world,
                &format!("{number}"),
                &whole,
                &known,
                &found,
            ));
        }
        count
    }
}

fn first() -> Vec<Bundle> {
    vec![version(WEB, "1")]
}

/// Fewer than these would mean that the copies are not taken.
fn claim_many(points: usize, least: usize) {
    assert!(points >= least, "only {points} points");
}

#[test]
fn killed_anywhere_in_a_good_deploy() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(second()),
        broken: None,
    };
    claim_many(scenario.survive(), 45);
}

#[test]
fn killed_anywhere_in_a_deploy_that_fails_and_goes_back() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(second()),
        broken: Some("r/api:1"),
    };
    claim_many(scenario.survive(), 70);
}

#[test]
fn killed_anywhere_on_the_way_back_past_what_the_engine_keeps_restarting() {
    let scenario = Scenario {
        before: first(),
        change: Change::Shaken(version("r/web:2", "1")),
        broken: None,
    };
    claim_many(scenario.survive(), 60);
}

#[test]
fn killed_anywhere_in_a_deploy_that_nobody_confirms() {
    let scenario = Scenario {
        before: first(),
        change: Change::ToConfirm(second()),
        broken: None,
    };
    claim_many(scenario.survive(), 70);
}

#[test]
fn killed_anywhere_in_a_first_deploy() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Deploy(version(WEB, "1")),
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_first_deploy_that_fails() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Deploy(version(WEB, "1")),
        broken: Some(WEB),
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_rollback() {
    let scenario = Scenario {
        before: vec![version(WEB, "1"), second()],
        change: Change::RollBack,
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_rollback_that_fails() {
    let scenario = Scenario {
        before: vec![version(WEB, "1"), second()],
        change: Change::RollBack,
        broken: Some(WEB),
    };
    claim_many(scenario.survive(), 60);
}

#[test]
fn killed_anywhere_in_a_deploy_of_one_service() {
    let web = Scope::Alone(["web".parse().unwrap()].into());
    let scenario = Scenario {
        before: first(),
        change: Change::Part(version("r/web:2", "2"), web),
        broken: None,
    };
    claim_many(scenario.survive(), 30);
}

#[test]
fn killed_anywhere_on_the_way_down() {
    let scenario = Scenario {
        before: first(),
        change: Change::Down,
        broken: None,
    };
    claim_many(scenario.survive(), 10);
}

/// On both sides, in both kinds of containers, and one whose output is kept.
fn with_hooks() -> Bundle {
    let once = |when| Hook {
        one_off: true,
        ..hook(when, "web", "tool")
    };
    let backup = Hook {
        save: saving(SavePlace::Workstation, "{time}"),
        ..hook(When::Before, "db", "pg_dump")
    };
    second()
        .hook(backup)
        .hook(once(When::Before))
        .hook(hook(When::After, "db", "first"))
        .hook(once(When::After))
        .hook(hook(When::After, "web", "last"))
}

#[test]
fn killed_anywhere_in_a_deploy_with_hooks() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(with_hooks()),
        broken: None,
    };
    claim_many(scenario.survive(), 90);
}

#[test]
fn killed_anywhere_in_a_deploy_with_hooks_that_goes_back() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(with_hooks()),
        broken: Some("r/api:1"),
    };
    claim_many(scenario.survive(), 90);
}

#[test]
fn killed_anywhere_in_a_takeover_that_changes_nothing() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack(WEB, "1", "a")])),
        broken: None,
    };
    claim_many(scenario.survive(), 20);
}

#[test]
fn killed_anywhere_in_a_takeover() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack("r/web:2", "2", "b")])),
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_takeover_that_fails_and_goes_back() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack("r/web:2", "2", "b")])),
        broken: Some("r/web:2"),
    };
    claim_many(scenario.survive(), 50);
}
