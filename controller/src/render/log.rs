//! Writes log records: harmless text with an aligned prefix, or one JSON object a line.
//!
//! With `-o jsonl` a line is `host`, `stack`, `service`, `container`, `stream`, `at` and `line`; a mark of missing
//! lines has `gap` with their number instead of `stream`, `at` and `line`.

use std::borrow::Cow;
use std::fmt::Write as _;

use proto::log::{LogRecord, Stream};
use serde::Serialize;

use super::words::timestamp;
use crate::event::Place;
use crate::terminal::{Line, Terminal, Tone, sanitize, sanitize_line};

/// How lines are to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStyle {
    /// One JSON object a line.
    pub json: bool,
    /// With the engine's time.
    pub timestamps: bool,
    /// The containers' bytes as they are.
    pub raw: bool,
    /// Without saying where from.
    pub no_prefix: bool,
}

#[derive(Serialize)]
struct JsonRecord<'a> {
    #[serde(flatten)]
    place: &'a Place,
    service: &'a str,
    container: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<u64>,
}

/// Writes records to a terminal.
pub struct LogWriter {
    terminal: Terminal,
    style: LogStyle,
    several: bool,
    place_width: usize,
    name_width: usize,
    /// Kept between lines, so that a line costs no allocation.
    buffer: Vec<u8>,
    prefix: String,
}

/// Colours that tell containers apart, where there is colour.
const PALETTE: [&str; 6] = [
    "\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m",
];

impl LogWriter {
    /// A writer for lines from these places.
    #[must_use]
    pub fn new(terminal: Terminal, style: LogStyle, places: &[Place]) -> Self {
        let width = |place: &Place| place.host.as_str().len() + 1 + place.stack.as_str().len();
        Self {
            terminal,
            style,
            several: places.len() > 1,
            place_width: places.iter().map(width).max().unwrap_or(0),
            name_width: 0,
            buffer: Vec::new(),
            prefix: String::new(),
        }
    }

    /// Writes one record; it may be kept back until [`flush`](Self::flush).
    pub fn write(&mut self, place: &Place, record: &LogRecord) {
        if self.style.json {
            return self.write_json(place, record);
        }
        self.buffer.clear();
        match record {
            LogRecord::Line {
                service,
                container,
                at_nanos,
                text,
                ..
            } => {
                self.start(place, service.as_str(), container);
                if self.style.timestamps {
                    self.buffer
                        .extend_from_slice(timestamp(*at_nanos).as_bytes());
                    self.buffer.push(b' ');
                }
                if self.style.raw {
                    self.buffer.extend_from_slice(text);
                } else {
                    self.buffer
                        .extend_from_slice(sanitize_line(text).as_bytes());
                }
            }
            LogRecord::Gap {
                service,
                container,
                lines,
            } => {
                self.start(place, service.as_str(), container);
                self.buffer.extend_from_slice(gap(*lines).as_bytes());
            }
        }
        self.buffer.push(b'\n');
        self.terminal.bulk(&self.buffer);
    }

    fn start(&mut self, place: &Place, service: &str, container: &str) {
        if self.style.no_prefix {
            return;
        }
        let name = short_name(service, container);
        self.name_width = self.name_width.max(name.chars().count());
        self.prefix.clear();
        // Writing to a string cannot fail.
        if self.several {
            let Self {
                prefix,
                place_width,
                ..
            } = self;
            let used = place.host.as_str().len() + 1 + place.stack.as_str().len();
            write!(prefix, "{} {}", place.host, place.stack).ok();
            prefix.extend(std::iter::repeat_n(
                ' ',
                place_width.saturating_sub(used) + 1,
            ));
        }
        write!(self.prefix, "{name:width$} | ", width = self.name_width).ok();
        let look = self.terminal.look();
        if look.out_tty && look.colour {
            let sum = container
                .bytes()
                .fold(0_usize, |sum, byte| sum * 31 % 4093 + usize::from(byte));
            self.buffer
                .extend_from_slice(PALETTE[sum % PALETTE.len()].as_bytes());
            self.buffer.extend_from_slice(self.prefix.as_bytes());
            self.buffer.extend_from_slice(b"\x1b[0m");
        } else {
            self.buffer.extend_from_slice(self.prefix.as_bytes());
        }
    }

    fn write_json(&self, place: &Place, record: &LogRecord) {
        let record = match record {
            LogRecord::Line {
                service,
                container,
                stream,
                at_nanos,
                text,
            } => JsonRecord {
                place,
                service: service.as_str(),
                container,
                stream: Some(*stream),
                at: Some(timestamp(*at_nanos)),
                line: Some(String::from_utf8_lossy(text)),
                gap: None,
            },
            LogRecord::Gap {
                service,
                container,
                lines,
            } => JsonRecord {
                place,
                service: service.as_str(),
                container,
                stream: None,
                at: None,
                line: None,
                gap: Some(*lines),
            },
        };
        // Names and text always have a JSON form.
        self.terminal.json_kept(&record).unwrap_or_default();
    }

    /// Says on standard error that a place is out of reach for now, or for good.
    pub fn note(&self, place: &Place, tone: Tone, text: &str) {
        self.terminal.flush();
        self.terminal.note(
            Line::new()
                .toned(tone, place.to_string())
                .text(": ")
                .text(text),
        );
    }

    /// Sends on what was kept back.
    pub fn flush(&self) {
        self.terminal.flush();
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.terminal.is_gone()
    }
}

fn gap(lines: u64) -> String {
    match lines {
        0 => "--- lines are missing here ---".to_owned(),
        1 => "--- 1 line is missing here: this reader was too slow ---".to_owned(),
        many => format!("--- {many} lines are missing here: this reader was too slow ---"),
    }
}

/// `web-2` for `opq-web-2` of service `web`; the container's own name where it has one.
fn short_name<'a>(service: &str, container: &'a str) -> Cow<'a, str> {
    let number = container.rsplit_once('-').filter(|(front, number)| {
        let prefixed = front
            .strip_suffix(service)
            .is_some_and(|project| project.ends_with('-'));
        prefixed && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let skipped = number.map_or(0, |(front, _)| front.len() - service.len());
    sanitize(container.get(skipped..).unwrap_or(container))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Look, capture::Capture};

    fn place(host: &str) -> Place {
        Place {
            host: host.parse().unwrap(),
            stack: "opq".parse().unwrap(),
        }
    }

    fn line(service: &str, container: &str, text: &[u8]) -> LogRecord {
        LogRecord::Line {
            service: service.parse().unwrap(),
            container: container.to_owned(),
            stream: Stream::Stdout,
            at_nanos: 1_772_366_400_000_000_000,
            text: text.to_vec(),
        }
    }

    fn gap_of(lines: u64) -> LogRecord {
        LogRecord::Gap {
            service: "web".parse().unwrap(),
            container: "opq-web-1".to_owned(),
            lines,
        }
    }

    fn written(style: LogStyle, hosts: &[&str]) -> String {
        let capture = Capture::new("");
        let places: Vec<Place> = hosts.iter().map(|host| place(host)).collect();
        let mut writer = LogWriter::new(capture.terminal(Look::default()), style, &places);
        for place in &places {
            writer.write(
                place,
                &line("web", "opq-web-1", b"\x1b[32mready\x1b[0m \x1b]0;title\x07"),
            );
            writer.write(place, &line("mongo", "mongo", b"\xff"));
        }
        writer.write(&places[0], &gap_of(17));
        writer.flush();
        capture.out()
    }

    #[test]
    fn one_place_is_prefixed_as_compose_does_it() {
        insta::assert_snapshot!(written(LogStyle::default(), &["emilia"]), @r"
        web-1 | ready ␛]0;title␇
        mongo | �
        web-1 | --- 17 lines are missing here: this reader was too slow ---
        ");
    }

    #[test]
    fn several_places_are_named_and_aligned() {
        insta::assert_snapshot!(written(LogStyle::default(), &["emilia", "io"]), @r"
        emilia opq web-1 | ready ␛]0;title␇
        emilia opq mongo | �
        io opq     web-1 | ready ␛]0;title␇
        io opq     mongo | �
        emilia opq web-1 | --- 17 lines are missing here: this reader was too slow ---
        ");
    }

    #[test]
    fn json_keeps_every_byte_that_text_can_hold() {
        let style = LogStyle {
            json: true,
            ..LogStyle::default()
        };
        insta::assert_snapshot!(written(style, &["emilia"]), @r#"
        {"host":"emilia","stack":"opq","service":"web","container":"opq-web-1","stream":"stdout","at":"2026-03-01T12:00:00.000000000Z","line":"\u001b[32mready\u001b[0m \u001b]0;title\u0007"}
        {"host":"emilia","stack":"opq","service":"mongo","container":"mongo","stream":"stdout","at":"2026-03-01T12:00:00.000000000Z","line":"�"}
        {"host":"emilia","stack":"opq","service":"web","container":"opq-web-1","gap":17}
        "#);
    }

    #[test]
    fn timestamps_stand_before_the_text_and_prefixes_can_go() {
        let style = LogStyle {
            timestamps: true,
            no_prefix: true,
            ..LogStyle::default()
        };
        let text = written(style, &["emilia"]);
        assert!(
            text.starts_with("2026-03-01T12:00:00.000000000Z ready"),
            "{text}"
        );
    }

    #[test]
    fn a_container_is_named_as_briefly_as_compose_does() {
        for (service, container, name) in [
            ("web", "opq-web-12", "web-12"),
            ("web", "web", "web"),
            ("web", "my-site", "my-site"),
            ("a-b", "p-a-b-1", "a-b-1"),
            ("web", "opq_web_1", "opq_web_1"),
        ] {
            assert_eq!(short_name(service, container), name);
        }
    }
}
