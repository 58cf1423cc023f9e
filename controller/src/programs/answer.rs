//! What a program's end says: one value, or why there is none.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use proto::limits::VALUE_BYTES;
use zeroize::Zeroizing;

use crate::fleet::value::without_newline;
use crate::process::ProcessError;

/// Why a program gave no value. Never shows what it printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It could not be run to its end.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It says itself that it failed.
    #[error("it ended with code {0}")]
    Code(i32),
    /// Somebody ended it.
    #[error("it was ended by signal {0}")]
    Signal(i32),
    /// It succeeded.
    #[error("it printed nothing")]
    Empty,
    /// No environment could carry it.
    #[error("what it printed {0}")]
    Unfit(&'static str),
}

/// The value: all that the program printed but one newline at the end, `\n` or `\r\n`.
pub(super) fn read(
    ended: Result<ExitStatus, ProcessError>,
    stdout: &[u8],
) -> Result<Zeroizing<String>, NoAnswer> {
    let status = ended?;
    if !status.success() {
        let signal = || NoAnswer::Signal(status.signal().unwrap_or_default());
        return Err(status.code().map_or_else(signal, NoAnswer::Code));
    }
    let text = str::from_utf8(stdout).map_err(|_| NoAnswer::Unfit("is not UTF-8 text"))?;
    let text = without_newline(text);
    if text.is_empty() {
        return Err(NoAnswer::Empty);
    }
    if text.contains('\0') {
        return Err(NoAnswer::Unfit("has a NUL byte in it"));
    }
    if text.len() > VALUE_BYTES {
        return Err(NoAnswer::Unfit("is larger than 128 KiB"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The last lines of standard error, shortened to what fits a screen.
pub(super) fn last_lines(stderr: &[u8]) -> Vec<String> {
    const LINES: usize = 10;
    const CHARS: usize = 200;
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim_end);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES));
    last.map(|line| line.chars().take(CHARS).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(stdout: &[u8]) -> Result<String, String> {
        let text = read(Ok(ExitStatus::from_raw(0)), stdout);
        text.map(|text| text.to_string())
            .map_err(|why| why.to_string())
    }

    #[test]
    fn one_newline_at_the_end_is_no_part_of_a_value() {
        for (stdout, value) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("a\n\n", "a\n"),
            ("a\r\n\r\n", "a\r\n"),
            ("a\r", "a\r"),
            (" a b \n", " a b "),
            ("a\nb\n", "a\nb"),
        ] {
            assert_eq!(said(stdout.as_bytes()).as_deref(), Ok(value), "{stdout:?}");
        }
    }

    #[test]
    fn what_no_environment_can_carry_is_no_value() {
        let large = vec![b'x'; VALUE_BYTES + 1];
        for (stdout, why) in [
            (b"".as_slice(), "it printed nothing"),
            (b"\n", "it printed nothing"),
            (b"\r\n", "it printed nothing"),
            (b"a\xff", "what it printed is not UTF-8 text"),
            (b"a\0b", "what it printed has a NUL byte in it"),
            (&large, "what it printed is larger than 128 KiB"),
        ] {
            assert_eq!(said(stdout), Err(why.to_owned()));
        }
        assert!(said(&large[1..]).is_ok());
    }

    #[test]
    fn a_failure_counts_more_than_what_was_printed() {
        let failed = |raw| read(Ok(ExitStatus::from_raw(raw)), b"canary").unwrap_err();
        assert_eq!(failed(3 << 8).to_string(), "it ended with code 3");
        assert_eq!(failed(9).to_string(), "it was ended by signal 9");
    }

    #[test]
    fn the_last_lines_are_kept() {
        let text = "\n".to_owned() + &"line\n".repeat(50) + "last\n\n";
        let lines = last_lines(text.as_bytes());
        assert_eq!((lines.len(), lines[9].as_str()), (10, "last"));
    }

    proptest! {
        #[test]
        fn no_output_breaks_the_reader(stdout in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = said(&stdout) {
                prop_assert!(!text.is_empty() && !text.contains('\0') && stdout.starts_with(text.as_bytes()));
            }
            last_lines(&stdout);
        }
    }
}
