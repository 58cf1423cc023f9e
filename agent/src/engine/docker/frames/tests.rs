//! Log streams, well and badly formed, in chunks of any size.

use proptest::prelude::*;

use super::*;

const FIRST: &str = "2024-02-29T23:59:59.000000001Z";
const SECOND: &str = "2024-02-29T23:59:59.000000002Z";
const AT: i64 = 1_709_251_199_000_000_001;

fn frame(kind: u8, entry: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(u32::try_from(entry.len()).unwrap().to_be_bytes());
    bytes.extend(entry);
    bytes
}

fn entry(stamp: &str, text: &[u8]) -> Vec<u8> {
    [stamp.as_bytes(), b" ", text].concat()
}

fn line(stream: Stream, at_nanos: i64, text: &[u8]) -> Found {
    Found::Line(RawLine {
        stream,
        at_nanos,
        text: text.to_vec(),
    })
}

/// Decodes in chunks of the given sizes, over and over.
fn decode(terminal: bool, bytes: &[u8], sizes: &[usize]) -> Vec<Found> {
    let mut decoder = Decoder::new(terminal);
    let mut all = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| (*size).clamp(1, rest.len()));
        let (chunk, later) = rest.split_at(size);
        decoder.push(chunk, &mut |found| all.push(found));
        rest = later;
    }
    decoder.finish(&mut |found| all.push(found));
    all
}

#[test]
fn frames_of_both_outputs_become_lines() {
    let bytes = [
        frame(1, &entry(FIRST, b"out\n")),
        frame(2, &entry(SECOND, b"err\n")),
        frame(1, &entry(SECOND, b"\n")),
    ]
    .concat();
    let want = [
        line(Stream::Stdout, AT, b"out"),
        line(Stream::Stderr, AT + 1, b"err"),
        line(Stream::Stdout, AT + 1, b""),
    ];
    for sizes in [vec![], vec![1], vec![7, 40]] {
        assert_eq!(decode(false, &bytes, &sizes), want);
    }
}

#[test]
fn a_long_line_is_joined_though_the_other_output_talks_in_between() {
    let bytes = [
        frame(1, &entry(FIRST, &[b'a'; 16384])),
        frame(2, &entry(SECOND, b"between\n")),
        frame(1, &entry(SECOND, b"end\n")),
    ]
    .concat();
    let long = [vec![b'a'; 16384], b"end".to_vec()].concat();
    let want = [
        line(Stream::Stderr, AT + 1, b"between"),
        line(Stream::Stdout, AT, &long),
    ];
    assert_eq!(decode(false, &bytes, &[1000]), want);
}

#[test]
fn a_line_without_end_comes_in_pieces_of_a_mebibyte() {
    let mut bytes = Vec::new();
    for _ in 0..200 {
        bytes.extend(frame(1, &entry(FIRST, &[b'x'; 16384])));
    }
    let found = decode(false, &bytes, &[30_000]);
    let sizes: Vec<usize> = found
        .iter()
        .map(|found| match found {
            Found::Line(line) => line.text.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 200 * 16384);
    assert!(sizes.iter().all(|size| *size <= LINE_BYTES));
    assert_eq!(sizes.len(), 4);
}

#[test]
fn what_is_no_frame_ends_the_reading() {
    for bytes in [
        b"plain text, as a terminal writes".to_vec(),
        vec![1, 0, 0, 0, 255, 255, 255, 255, 0],
        vec![9, 0, 0, 0, 0, 0, 0, 1, 0],
    ] {
        let found = decode(false, &bytes, &[5]);
        assert_eq!(found, [Found::Malformed]);
    }
}

#[test]
fn the_engines_own_trouble_is_not_a_line() {
    let bytes = frame(3, b"Error grabbing logs: invalid character\n");
    let want = Found::Trouble("Error grabbing logs: invalid character".to_owned());
    assert_eq!(decode(false, &bytes, &[]), [want]);
}

#[test]
fn a_terminals_output_needs_no_frames_and_may_begin_like_one() {
    let bytes = [
        entry(FIRST, b"\x01\x00\x00binary\r\n"),
        entry(SECOND, b"prompt> "),
    ]
    .concat();
    let want = [
        line(Stream::Stdout, AT, b"\x01\x00\x00binary"),
        line(Stream::Stdout, AT + 1, b"prompt> "),
    ];
    for sizes in [vec![], vec![1], vec![13]] {
        assert_eq!(decode(true, &bytes, &sizes), want);
    }
}

#[test]
fn a_terminals_long_line_loses_the_timestamps_within() {
    for cut in CUTS {
        let bytes = [
            entry(FIRST, &vec![b'a'; cut]),
            entry(SECOND, b"tail\r\n"),
            entry(SECOND, b"next\r\n"),
        ]
        .concat();
        let long = [vec![b'a'; cut], b"tail".to_vec()].concat();
        let want = [
            line(Stream::Stdout, AT, &long),
            line(Stream::Stdout, AT + 1, b"next"),
        ];
        for sizes in [vec![], vec![16384 + 31], vec![999, 3]] {
            assert!(
                decode(true, &bytes, &sizes) == want,
                "cut at {cut}, chunks {sizes:?}"
            );
        }
    }
}

#[test]
fn a_timestamp_that_a_program_prints_stays() {
    let text = format!("{SECOND} said the program\n");
    let bytes = entry(FIRST, text.as_bytes());
    let want = line(Stream::Stdout, AT, text.trim_end().as_bytes());
    assert_eq!(decode(true, &bytes, &[]), [want]);
}

#[test]
fn a_terminals_line_that_ends_where_drivers_cut() {
    let bytes = [
        entry(FIRST, &[&[b'a'; 16384][..], b"\n"].concat()),
        entry(SECOND, b"b\n"),
    ]
    .concat();
    let want = [
        line(Stream::Stdout, AT, &[b'a'; 16384]),
        line(Stream::Stdout, AT + 1, b"b"),
    ];
    assert_eq!(decode(true, &bytes, &[1000]), want);
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        lines in prop::collection::vec((1u8..3, prop::collection::vec(any::<u8>(), 0..50)), 0..20),
        sizes in prop::collection::vec(1usize..100, 1..5),
        terminal: bool,
    ) {
        let mut bytes = Vec::new();
        for (kind, text) in &lines {
            let entry = entry(FIRST, &[text.as_slice(), b"\n"].concat());
            bytes.extend(if terminal { entry } else { frame(*kind, &entry) });
        }
        prop_assert_eq!(decode(terminal, &bytes, &[]), decode(terminal, &bytes, &sizes));
    }

    #[test]
    fn lines_come_out_as_they_went_in(
        lines in prop::collection::vec((1u8..3, "[^\n\r]{0,50}"), 0..20),
        terminal: bool,
    ) {
        let mut bytes = Vec::new();
        let mut want = Vec::new();
        for (kind, text) in &lines {
            let entry = entry(FIRST, format!("{text}\n").as_bytes());
            let stream = if terminal || *kind == 1 { Stream::Stdout } else { Stream::Stderr };
            bytes.extend(if terminal { entry } else { frame(*kind, &entry) });
            want.push(line(stream, AT, text.as_bytes()));
        }
        prop_assert_eq!(decode(terminal, &bytes, &[3, 50]), want);
    }

    #[test]
    fn no_bytes_break_it_and_none_are_kept_without_bound(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        terminal: bool,
    ) {
        let mut decoder = Decoder::new(terminal);
        for _ in 0..20 {
            decoder.push(&bytes, &mut |_| {});
            prop_assert!(decoder.bytes.len() <= FRAME_BYTES + bytes.len());
        }
        decoder.finish(&mut |_| {});
    }
}
