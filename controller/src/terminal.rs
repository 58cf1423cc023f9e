//! The one place that prints and asks: standard output and error, what the terminal can do, prompts, and
//! what happens when whoever read us is gone.

mod line;
mod sanitize;

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::fault::{Fault, FaultKind};
use serde::Serialize;
use zeroize::Zeroizing;

pub use line::{Line, Tone};
pub use sanitize::{sanitize, sanitize_line};

/// What the two outputs and the input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Standard input is a terminal.
    pub in_tty: bool,
    /// Standard output is a terminal.
    pub out_tty: bool,
    /// Standard error is a terminal.
    pub err_tty: bool,
    /// Colour is welcome wherever there is a terminal.
    pub colour: bool,
    /// The terminal can move its cursor.
    pub moves: bool,
}

struct Streams {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// The reader of standard output has gone: from then on, writing there does nothing.
    out_gone: bool,
    /// Something else than that was wrong, such as a full disk.
    out_failed: Option<io::Error>,
}

impl Streams {
    fn out(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.out_gone {
            return;
        }
        if let Err(error) = write(&mut self.out) {
            self.out_gone = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.out_failed = Some(error);
            }
        }
    }
}

/// The terminal, or what stands in for it. Clones share the same streams.
#[derive(Clone)]
pub struct Terminal {
    streams: Arc<Mutex<Streams>>,
    // Apart from the outputs: a prompt that waits must not keep anyone from printing.
    input: Arc<Mutex<Box<dyn BufRead + Send>>>,
    look: Look,
}

/// A width for where there is no terminal to ask.
const PLAIN_WIDTH: usize = 100;

impl Terminal {
    /// The process's own streams.
    #[must_use]
    pub fn standard() -> Self {
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = Look {
            in_tty: io::stdin().is_terminal(),
            out_tty: io::stdout().is_terminal(),
            err_tty: io::stderr().is_terminal(),
            colour: unset("NO_COLOR") && !dumb,
            moves: !dumb,
        };
        let input = Box::new(io::BufReader::new(io::stdin()));
        let out = Box::new(io::BufWriter::with_capacity(64 * 1024, io::stdout()));
        Self::over(look, input, out, Box::new(io::stderr()))
    }

    /// Any streams, for tests and recordings.
    #[must_use]
    pub fn over(
        look: Look,
        input: Box<dyn BufRead + Send>,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
    ) -> Self {
        let streams = Streams {
            out,
            err,
            out_gone: false,
            out_failed: None,
        };
        Self {
            streams: Arc::new(Mutex::new(streams)),
            input: Arc::new(Mutex::new(input)),
            look,
        }
    }

    /// What the streams are.
    #[must_use]
    pub fn look(&self) -> Look {
        self.look
    }

    /// Whether a screen may be redrawn: both outputs are a terminal that can move its cursor.
    #[must_use]
    pub fn can_redraw(&self) -> bool {
        self.look.out_tty && self.look.err_tty && self.look.moves
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let known = rustix::termios::tcgetwinsize(io::stderr())
            .ok()
            .filter(|size| self.look.err_tty && size.ws_col > 0);
        known.map_or((PLAIN_WIDTH, 24), |size| {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        })
    }

    /// Whether the reader of standard output has gone. What only prints can stop then, successfully.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.lock().out_gone
    }

    /// One line to standard output.
    pub fn say(&self, line: impl Into<Line>) {
        let mut text = line.into().render(self.look.out_tty && self.look.colour);
        text.push('\n');
        self.bulk(text.as_bytes());
        self.flush();
    }

    /// One line to standard error.
    pub fn note(&self, line: impl Into<Line>) {
        let mut text = line.into().render(self.look.err_tty && self.look.colour);
        text.push('\n');
        self.flush();
        let mut streams = self.lock();
        // With standard error gone there is nobody left to tell.
        streams.err.write_all(text.as_bytes()).ok();
        streams.err.flush().ok();
    }

    /// One JSON object on a line of standard output.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Fault> {
        self.json_kept(value)?;
        self.flush();
        Ok(())
    }

    /// The same, kept back until [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn json_kept(&self, value: &impl Serialize) -> Result<(), Fault> {
        let mut text = to_json(value)?;
        text.push('\n');
        self.bulk(text.as_bytes());
        Ok(())
    }

    /// Bytes to standard output as they are, kept back until [`flush`](Self::flush).
    pub fn bulk(&self, bytes: &[u8]) {
        self.lock().out(|out| out.write_all(bytes));
    }

    /// Sends on what was kept back.
    pub fn flush(&self) {
        self.lock().out(|out| out.flush());
    }

    /// Sends on what was kept back, and tells whether all that was printed has arrived or its reader had gone.
    ///
    /// # Errors
    /// When it could not be written for another reason.
    pub fn finish(&self) -> Result<(), Fault> {
        self.flush();
        match self.lock().out_failed.take() {
            None => Ok(()),
            Some(error) => Err(
                Fault::new(FaultKind::Failed, "standard output cannot be written").because(&error),
            ),
        }
    }

    /// Asks a question that is answered by yes or no. Blocks.
    ///
    /// # Errors
    /// Without a terminal, naming the flag that answers instead.
    pub fn confirm(&self, question: &str, flag: &str) -> Result<bool, Fault> {
        self.can_ask(question, flag)?;
        let question = Line::new()
            .toned(Tone::Strong, question)
            .text(" [y/N]")
            .render(self.look.colour);
        self.ask(&format!("{question} "))
            .map_err(|error| Fault::new(FaultKind::Failed, "no answer").because(&error))
            .map(|answer| is_yes(&answer))
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        self.flush();
        {
            let mut streams = self.lock();
            streams.err.write_all(question.as_bytes())?;
            streams.err.flush()?;
        }
        let mut answer = String::new();
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.read_line(&mut answer)?;
        Ok(answer)
    }

    /// Asks for a text that is not shown. Blocks.
    ///
    /// # Errors
    /// Without a terminal, naming the flag that answers instead.
    pub fn secret(&self, question: &str, flag: &str) -> Result<Zeroizing<String>, Fault> {
        self.can_ask(question, flag)?;
        rpassword::prompt_password(format!("{}: ", sanitize(question)))
            .map(Zeroizing::new)
            .map_err(|error| Fault::new(FaultKind::Failed, "no answer").because(&error))
    }

    /// Whether somebody is there who could be asked.
    #[must_use]
    pub fn is_attended(&self) -> bool {
        self.look.in_tty && self.look.err_tty
    }

    fn can_ask(&self, question: &str, flag: &str) -> Result<(), Fault> {
        if self.is_attended() {
            return Ok(());
        }
        let what = format!("there is no terminal to ask on: {question}");
        Err(Fault::new(FaultKind::InvalidRequest, what).hint(format!("pass {flag} to answer it")))
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // A panic while printing leaves nothing half done that a later line could trip over.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

/// JSON in which nothing can steer a terminal either.
fn to_json(value: &impl Serialize) -> Result<String, Fault> {
    let text = serde_json::to_string(value)
        .map_err(|error| Fault::new(FaultKind::Internal, "no JSON form").because(&error))?;
    let escaped = |c: char| {
        let clean = sanitize(c.encode_utf8(&mut [0; 4])).chars().eq([c]);
        !clean && c != '\n'
    };
    // The writer escapes ASCII controls by itself; the rest can only stand inside strings.
    if !text.contains(escaped) {
        return Ok(text);
    }
    let escape = |c: char| {
        if escaped(c) {
            format!("\\u{:04x}", u32::from(c))
        } else {
            c.to_string()
        }
    };
    Ok(text.chars().map(escape).collect())
}

#[cfg(test)]
pub(crate) mod capture;

#[cfg(test)]
mod tests {
    use super::capture::Capture;
    use super::*;

    #[test]
    fn a_prompt_without_a_terminal_names_the_flag() {
        let capture = Capture::new("y\n");
        let fault = capture
            .terminal(Look::default())
            .confirm("Deploy to emilia?", "--yes")
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert_eq!(fault.hints, ["pass --yes to answer it"]);
    }

    #[test]
    fn only_yes_is_yes() {
        let look = Look {
            in_tty: true,
            err_tty: true,
            ..Look::default()
        };
        for (answer, expected) in [("y\n", true), ("YES\n", true), ("\n", false), ("", false)] {
            let capture = Capture::new(answer);
            let said = capture.terminal(look).confirm("Go?", "--yes");
            assert_eq!(said, Ok(expected), "{answer:?}");
            assert_eq!(capture.err(), "Go? [y/N] ");
        }
    }

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn over(out: Closed) -> Terminal {
        let (input, err) = (Box::new(io::empty()), Box::new(io::sink()));
        Terminal::over(Look::default(), input, Box::new(out), err)
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let terminal = over(Closed(io::ErrorKind::StorageFull));
        terminal.say("one");
        let fault = terminal.finish().unwrap_err();
        assert_eq!(fault.what, "standard output cannot be written");
    }

    #[test]
    fn a_reader_that_leaves_is_no_error() {
        let terminal = over(Closed(io::ErrorKind::BrokenPipe));
        terminal.say("one");
        terminal.say("two");
        assert!(terminal.is_gone());
        assert_eq!(terminal.finish(), Ok(()));
    }

    #[test]
    fn json_cannot_steer_a_terminal() {
        let capture = Capture::new("");
        let terminal = capture.terminal(Look::default());
        terminal.json(&"a\x1b[2J\u{9b}é\u{202e}").unwrap();
        let out = capture.out();
        assert_eq!(out, "\"a\\u001b[2J\\u009bé\\u202e\"\n");
        let back: String = serde_json::from_str(&out).unwrap();
        assert_eq!(back, "a\x1b[2J\u{9b}é\u{202e}");
    }
}
