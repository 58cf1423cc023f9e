//! The same reading as Compose's own; the expected values were checked against its `config`.

use super::*;

fn parse<'s>(text: &str, set: impl Fn(&str) -> Option<&'s str>) -> Result<DotEnv, DotEnvError> {
    let mut read = DotEnv::default();
    read.add(text, set).map(|()| read)
}
use proptest::prelude::*;

fn read(text: &str) -> DotEnv {
    parse(text, |name| (name == "SET").then_some("from outside")).unwrap()
}

fn one(line: &str) -> String {
    let text = format!("EARLIER=early\nEMPTY=\n{line}\n");
    read(&text).get("K").unwrap().unwrap_or("").to_owned()
}

#[test]
fn values_are_read_as_compose_reads_them() {
    for (line, value) in [
        ("K=plain", "plain"),
        ("K = spaced ", "spaced"),
        ("K: yaml", "yaml"),
        ("export K=exported", "exported"),
        ("  K=indented", "indented"),
        ("K=a#b", "a#b"),
        ("K=a # comment", "a"),
        ("K=", ""),
        ("K='single $SET \\n'", "single $SET \\n"),
        ("K=\"double $SET\\n\"", "double from outside\n"),
        ("K=\"a \\\"quoted\\\" word\"", "a \"quoted\" word"),
        ("K=\"price \\$SET\"", "price $SET"),
        ("K=\"x\" # comment", "x"),
        ("K=\"two\nlines\"", "two\nlines"),
        ("K='two\nlines'", "two\nlines"),
        ("K=$EARLIER-${EARLIER}", "early-early"),
        ("K=${NONE:-def}${EMPTY:-def}${EMPTY-def}", "defdef"),
        ("K=${EARLIER:+yes}${NONE:+no}", "yes"),
        ("K=${NONE:-${EARLIER}}", "early"),
        ("K=$$literal", "$literal"),
        ("K=a:b:c", "a:b:c"),
        ("K=windows\r", "windows"),
        ("K= # value", "# value"),
        ("K='it\\'s'", "it's"),
        ("K=\"\\0101\\c\"", "A\\c"),
        ("1K=digit", ""),
        ("export\tK=tab", "tab"),
        ("K=http://x/y?z=1", "http://x/y?z=1"),
    ] {
        assert_eq!(one(line), value, "{line}");
    }
}

#[test]
fn a_name_alone_takes_the_value_from_outside() {
    let read = read("SET\nNONE\n");
    assert_eq!(read.get("SET"), Ok(Some("from outside")));
    assert!(!read.defines("NONE"));
}

#[test]
fn a_value_that_cannot_be_worked_out_matters_only_when_asked_for() {
    let read = read("A=1\nPASSWORD=pa$5word\nB=${NONE:?must be set}\n");
    assert_eq!(read.get("A"), Ok(Some("1")));
    assert_eq!(read.get("PASSWORD").unwrap_err().line, 2);
    assert!(read.defines("B") && read.get("B").is_err());
}

#[test]
fn errors_name_the_line_and_never_a_value() {
    let refuse = |text: &str| parse(text, |_| None).unwrap_err().to_string();
    assert_eq!(
        refuse("A=1\n\nB C=2\n"),
        "line 3: a variable name cannot have a space in it"
    );
    assert_eq!(refuse("A=1\n=2\n"), "line 2: there is no variable name");
    assert_eq!(
        refuse("A*=1\n"),
        "line 1: '*' cannot be part of a variable name"
    );
    assert_eq!(
        refuse("A='x'\nKEY=\"hunter22\n\n"),
        "line 2: the value of KEY has no closing \""
    );
}

#[test]
fn debug_output_shows_no_value() {
    let shown = format!("{:?}", read("KEY=hunter22\n"));
    assert!(shown.contains("KEY") && !shown.contains("hunter22"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}|[A-C=:'\"$\\{\\}\\\\#\n \t0a-c-]{0,80}") {
        if let Ok(read) = parse(&text, |_| None) {
            for name in ["A", "B", "C"] {
                prop_assert!(read.get(name).is_err() || read.defines(name) || read.get(name) == Ok(None));
            }
        }
    }

    #[test]
    fn a_single_quoted_value_is_kept_to_the_letter(value in "[^'\\\\]{0,40}") {
        let read = parse(&format!("K='{value}'\nL=1"), |_| None).unwrap();
        prop_assert_eq!(read.get("K").unwrap().unwrap_or(""), value);
        prop_assert!(read.defines("L"));
    }
}

#[test]
fn lines_that_double_each_other_do_not_fill_the_memory() {
    for reference in ["$K$K", "\"${NONE:-$K$K}\""] {
        let lines = |count| format!("K=0123456789\n{}", format!("K={reference}\n").repeat(count));
        let length = |count| {
            read(&lines(count))
                .get("K")
                .map(|value| value.map(str::len))
                .unwrap()
        };
        assert_eq!(length(13), Some(81_920));
        let said = read(&lines(14)).get("K").unwrap_err().to_string();
        assert!(said.contains("longer than 131072 bytes"), "{said}");
        assert!(length(60).is_none_or(|length| length <= 131_072));
    }
}
