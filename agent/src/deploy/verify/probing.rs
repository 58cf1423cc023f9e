//! Asks containers what the stack's probes want to know, again and again until the answer is good. All of it ends with
//! the verdict: dropping this ends every try.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::event::EventKind;
use proto::probe::{Check, Probe};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Job;
use super::ask::Asker;
use super::judge::{Answer, Answers, Question};
use crate::engine::Container;
use crate::journal::Journal;

/// Tries under way at once.
const AT_ONCE: usize = 16;
/// Answers on their way to the verdict. When full, the next try waits.
const QUEUE: usize = 64;
/// How often a container's changing answers are told. What it says in the end is told in any case.
const TOLD: u32 = 20;

/// Every probe that is being asked.
pub(super) struct Probing<'a> {
    probes: &'a [Probe],
    journal: &'a Journal,
    asker: Asker,
    /// Owns every try.
    tries: JoinSet<()>,
    asked: BTreeMap<Question, Asked>,
    answers: Answers,
    turns: Arc<Semaphore>,
    tell: mpsc::Sender<(Question, Answer)>,
    told: mpsc::Receiver<(Question, Answer)>,
}

struct Asked {
    container: Container,
    tries: AbortHandle,
    told: u32,
}

impl<'a> Probing<'a> {
    pub(super) fn new(job: &'a Job, probes: &'a [Probe]) -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        Self {
            probes,
            journal: &job.journal,
            asker: Asker::new(Arc::clone(&job.engine)),
            tries: JoinSet::new(),
            asked: BTreeMap::new(),
            answers: Answers::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            tell,
            told,
        }
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Asks exactly these from now on.
    pub(super) fn ask(&mut self, questions: &[Question], containers: &[Container]) {
        self.asked.retain(|question, asked| {
            let wanted = questions.contains(question);
            if !wanted {
                asked.tries.abort();
            }
            wanted
        });
        // What has ended is not kept until the end.
        while self.tries.try_join_next().is_some() {}
        for question in questions {
            let container = containers.iter().find(|it| it.id == question.container);
            let (Some(container), Some(probe)) = (container, self.probes.get(question.probe))
            else {
                continue;
            };
            if self.asked.contains_key(question) {
                continue;
            }
            let task = Task {
                asker: self.asker.clone(),
                container: container.clone(),
                probe: probe.clone(),
                question: question.clone(),
                turns: Arc::clone(&self.turns),
                tell: self.tell.clone(),
            };
            let asked = Asked {
                container: container.clone(),
                tries: self.tries.spawn(task.run()),
                told: 0,
            };
            self.asked.insert(question.clone(), asked);
        }
    }

    /// Waits for an answer that is another one than before. Nothing is lost when it is not waited for to the end.
    pub(super) async fn answered(&mut self) {
        while let Some((question, answer)) = self.told.recv().await {
            let Some(asked) = self.asked.get_mut(&question) else {
                continue;
            };
            if self.answers.get(&question) == Some(&answer) {
                continue;
            }
            let probe = self.probes.get(question.probe);
            if let Some(probe) = probe.filter(|_| asked.told < TOLD || answer.passed) {
                asked.told += 1;
                self.journal.push(EventKind::ProbeAnswered {
                    service: asked.container.service.clone(),
                    container: asked.container.name.clone(),
                    probe: probe.check.to_string(),
                    passed: answer.passed,
                    answer: answer.words.clone(),
                });
            }
            self.answers.insert(question, answer);
            return;
        }
    }
}

/// One probe of one container's run, until it passes.
struct Task {
    asker: Asker,
    container: Container,
    probe: Probe,
    question: Question,
    turns: Arc<Semaphore>,
    tell: mpsc::Sender<(Question, Answer)>,
}

impl Task {
    async fn run(self) {
        loop {
            let Ok(turn) = self.turns.acquire().await else {
                return;
            };
            let answer = match &self.probe.check {
                Check::Exec { argv } => self.run_program(argv, turn).await,
                _ => self.asker.ask(&self.container, &self.probe).await,
            };
            let passed = answer.passed;
            if !self.told(answer).await || passed {
                return;
            }
            sleep(self.probe.interval).await;
        }
    }

    /// A program cannot be ended from outside its container: while one still runs, no other is started.
    async fn run_program(&self, argv: &[String], turn: SemaphorePermit<'_>) -> Answer {
        let program = self.asker.run(&self.container.id, argv);
        tokio::pin!(program);
        if let Ok(answer) = timeout(self.probe.timeout, &mut program).await {
            return answer;
        }
        let late = Answer {
            passed: false,
            words: format!("has not ended within {:?}", self.probe.timeout),
            output: String::new(),
        };
        drop(turn);
        self.told(late.clone()).await;
        program.await;
        late
    }

    async fn told(&self, answer: Answer) -> bool {
        let told = (self.question.clone(), answer);
        self.tell.send(told).await.is_ok()
    }
}
