//! Bytes from containers and hosts on their way to a terminal: nothing in them may steer it.

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use controller::event::{Fact, FleetEvent, Place};
use controller::render::log::{LogStyle, LogWriter};
use controller::render::{Kind, Screen};
use controller::terminal::{Line, Look, Terminal, Tone, sanitize, sanitize_line};
use proto::event::{ContainerState, Event, EventKind, Health, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::log::{LogRecord, Stream};

/// A container's bytes, as a line, as a name and as the words of a host.
pub(super) fn terminal(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let clean = sanitize(&text);
    assert!(is_harmless(&clean), "{clean:?}");
    assert_eq!(sanitize(&clean), clean);
    let line = sanitize_line(bytes);
    assert!(is_harmless(&line), "{line:?}");
    assert!(
        line.len() <= 3 * bytes.len(),
        "{} bytes of {}",
        line.len(),
        bytes.len()
    );
    let toned = Line::new().text(&text).toned(Tone::Bad, &text);
    assert!(is_harmless(&toned.render(false)));
    assert!(is_harmless(&without_colours(&toned.render(true))));
    assert!(toned.cut(20).width() <= 20);
    logs(bytes, &text);
    for kind in [Kind::Human, Kind::Json, Kind::Quiet] {
        screen(kind, &text);
    }
}

fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c == '\t')
        && !text.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\u{200f}'])
}

/// Our own colours, and these alone.
fn without_colours(text: &str) -> String {
    let codes = ["0", "1", "2", "31", "32", "33", "34", "35", "36"];
    codes.iter().fold(text.to_owned(), |text, code| {
        text.replace(&format!("\u{1b}[{code}m"), "")
    })
}

fn place() -> Place {
    Place {
        host: "emilia".parse().unwrap(),
        stack: "opq".parse().unwrap(),
    }
}

fn logs(bytes: &[u8], text: &str) {
    let records = [
        LogRecord::Line {
            service: "web".parse().unwrap(),
            container: text.to_owned(),
            stream: Stream::Stdout,
            at_nanos: 1_800_000_000_000_000_000,
            text: bytes.to_vec(),
        },
        LogRecord::Gap {
            service: "web".parse().unwrap(),
            container: text.to_owned(),
            lines: 3,
        },
    ];
    for style in 0..8_u8 {
        let style = LogStyle {
            json: style & 1 != 0,
            timestamps: style & 2 != 0,
            raw: false,
            no_prefix: style & 4 != 0,
        };
        let out = Out::default();
        let look = Look {
            out_tty: true,
            colour: true,
            ..Look::default()
        };
        let mut writer = LogWriter::new(out.terminal(look), style, &[place()]);
        for record in &records {
            writer.write(&place(), record);
        }
        writer.flush();
        let lines = out.lines();
        assert_eq!(lines.len(), 2, "a line became several: {lines:?}");
        for line in &lines {
            assert!(is_harmless(&without_colours(line)), "{line:?}");
            if style.json {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}

fn screen(kind: Kind, text: &str) {
    let out = Out::default();
    let mut screen = Screen::new(&out.terminal(Look::default()), kind, [place()]);
    for (seq, kind) in (1..).zip(events(text)) {
        screen.show(&FleetEvent {
            place: place(),
            fact: Fact::Agent(Event {
                seq,
                at_millis: 1_800_000_000_000,
                kind,
            }),
        });
    }
    drop(screen.finish());
    for line in out.lines() {
        assert!(is_harmless(&line), "{line:?}");
    }
}

fn events(text: &str) -> Vec<EventKind> {
    let text = || text.to_owned();
    let fault = Fault::new(FaultKind::Failed, text())
        .cause(text())
        .output([text()])
        .hint(text());
    vec![
        EventKind::PullStarted { image: text() },
        EventKind::PullFinished {
            image: text(),
            digest: text(),
            outcome: Outcome::Failed,
        },
        EventKind::ComposeLine { text: text() },
        EventKind::ServiceState {
            service: "web".parse().unwrap(),
            container: text(),
            state: ContainerState::Exited,
            health: Health::Unhealthy,
            exit_code: i64::MIN,
            settled: false,
        },
        EventKind::Warning { text: text() },
        EventKind::Renewed {
            containers: vec![text(), text()],
        },
        EventKind::Finished {
            outcome: Outcome::Failed,
            state: State::Failed,
            revision: None,
            fault: Some(fault),
        },
    ]
}

/// Both outputs of a terminal, kept.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Out {
    fn terminal(&self, look: Look) -> Terminal {
        let input = Box::new(Cursor::new(Vec::new()));
        Terminal::over(look, input, Box::new(self.clone()), Box::new(self.clone()))
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.split_terminator('\n').map(str::to_owned).collect()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
