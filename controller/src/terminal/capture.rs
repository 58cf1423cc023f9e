//! A terminal whose output a test can read.

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use super::{Look, Terminal};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was typed, and what has been printed since.
pub(crate) struct Capture {
    typed: String,
    out: Buffer,
    err: Buffer,
}

impl Capture {
    pub(crate) fn new(typed: &str) -> Self {
        Self {
            typed: typed.to_owned(),
            out: Buffer::default(),
            err: Buffer::default(),
        }
    }

    pub(crate) fn terminal(&self, look: Look) -> Terminal {
        Terminal::over(
            look,
            Box::new(Cursor::new(self.typed.clone().into_bytes())),
            Box::new(self.out.clone()),
            Box::new(self.err.clone()),
        )
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.out.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.err.0.lock().unwrap().clone()).unwrap()
    }
}
