//! A shell script as one command line that every login shell passes on unharmed, and its answer out of the noise.
//!
//! sshd hands a command to the user's login shell, whatever that is. The line therefore holds one quoted word without
//! a character that any of them treats in a way of its own; the script itself travels in base64. What start-up
//! files print stands before the first mark and is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Programs that administer a server are not on every user's path, and messages are read in one language.
const PROLOGUE: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n\
LC_ALL=C; export LC_ALL\numask 077\n";

/// Whose rights a script runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Those of who logged in.
    Own,
    /// Root's, by sudo without a password.
    Sudo,
    /// Root's, by sudo with the password as the first line of its input.
    SudoPassword,
}

/// Random text that no start-up file prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// `nonce` must differ from script to script.
    #[must_use]
    pub fn new(nonce: u64) -> Self {
        Self(format!("longshore-{nonce:016x}"))
    }
}

/// The command line for the login shell.
#[must_use]
pub fn line(script: &str, rights: Rights, mark: &Mark) -> String {
    let Mark(mark) = mark;
    let marked = format!(
        "printf '\\n%s\\n' {mark}-begin\n(\n{PROLOGUE}{script}\n)\ncode=$?\nprintf '\\n%s %s\\n' {mark}-end $code\nexit $code\n"
    );
    let inner = evaluated(&marked);
    // `-k`: with a remembered login sudo would leave the password line to the script.
    match rights {
        Rights::Own => inner,
        Rights::Sudo => evaluated(&format!("exec sudo -k -n -- {inner}\n")),
        Rights::SudoPassword => evaluated(&format!("exec sudo -k -S -p '' -- {inner}\n")),
    }
}

fn evaluated(script: &str) -> String {
    let text = STANDARD.encode(script);
    format!("sh -c 'eval \"$(echo {text} | base64 -d)\"'")
}

/// What a script printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its standard output alone.
    pub out: Vec<u8>,
    /// Its exit code; `None` when it was cut off.
    pub code: Option<u8>,
}

/// Finds the script's own output; `None` when it never began.
#[must_use]
pub fn answer(out: &[u8], mark: &Mark) -> Option<Answer> {
    let Mark(mark) = mark;
    let begin = format!("\n{mark}-begin\n");
    let end = format!("\n{mark}-end ");
    let from = find(out, begin.as_bytes())? + begin.len();
    let rest = out.get(from..)?;
    // The last one: a script may print what it was given.
    let Some(at) = find_last(rest, end.as_bytes()) else {
        let out = rest.to_vec();
        return Some(Answer { out, code: None });
    };
    let code = rest.get(at + end.len()..).and_then(|text| {
        let text = std::str::from_utf8(text).ok()?;
        text.split_whitespace().next()?.parse().ok()
    });
    let out = rest.get(..at).unwrap_or_default().to_vec();
    Some(Answer { out, code })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn find_last(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

/// One word for `sh`, whatever is in it.
#[must_use]
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn run(shell: &str, line: &str) -> Vec<u8> {
        let output = Command::new(shell).args(["-c", line]).output().unwrap();
        output.stdout
    }

    #[test]
    fn the_line_has_nothing_that_a_shell_could_take_for_its_own() {
        let mark = Mark::new(7);
        for rights in [Rights::Own, Rights::Sudo, Rights::SudoPassword] {
            let line = line("echo 'a!b' \"$HOME\" `x` \\ \n # é\n", rights, &mark);
            assert_eq!(line.matches('\'').count(), 2, "{line}");
            let bad = |c: char| !c.is_ascii_graphic() && c != ' ' || "!\\`#~*?".contains(c);
            assert!(!line.contains(bad), "{line}");
        }
    }

    #[test]
    fn output_and_code_come_back_through_a_shell_and_past_its_noise() {
        let mark = Mark::new(7);
        let line = line("printf 'one\\ntwo'; exit 7", Rights::Own, &mark);
        for shell in ["sh", "bash"] {
            let out = run(shell, &format!("echo welcome; {line}; echo goodbye"));
            let found = answer(&out, &mark).unwrap();
            assert_eq!(
                (found.out.as_slice(), found.code),
                (&b"one\ntwo"[..], Some(7))
            );
        }
    }

    #[test]
    fn a_shell_that_runs_nothing_gives_no_answer() {
        let text = b"This account is currently not available.\n";
        assert_eq!(answer(text, &Mark::new(7)), None);
        let cut = b"\nlongshore-0000000000000007-begin\nhalf";
        let found = answer(cut, &Mark::new(7)).unwrap();
        assert_eq!((found.out.as_slice(), found.code), (&b"half"[..], None));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_none(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any = answer(&noise, &Mark::new(1));
        }

        #[test]
        fn a_quoted_word_reaches_a_program_unharmed(word in "[^\0]{0,40}") {
            let out = run("sh", &format!("printf %s {}", quoted(&word)));
            prop_assert_eq!(out, word.into_bytes());
        }
    }
}
