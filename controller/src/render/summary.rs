//! The last lines: how each place ended, which containers are new there, and one count over all.

use super::words;
use crate::board::{Board, End, Site};
use crate::terminal::{Line, Tone};

/// One line for each place, and a total when there are several.
pub(super) fn lines(board: &Board) -> Vec<Line> {
    let width = board.place_width();
    let both = |site| std::iter::once(line(site, width)).chain(renewed(site));
    let mut lines: Vec<Line> = board.sites().iter().flat_map(both).collect();
    if board.sites().len() > 1 {
        lines.push(total(board));
    }
    lines
}

fn line(site: &Site, width: usize) -> Line {
    let (word, tone) = words::site(site);
    let place = site.place.to_string();
    let line = Line::new()
        .toned(tone, words::sign(tone))
        .text(" ")
        .toned(Tone::Strong, format!("{place:width$}  "))
        .toned(tone, word);
    match &site.end {
        Some(End::Judged {
            revision, fault, ..
        }) => {
            let line = match revision {
                Some(revision) => line.text(format!(", revision {}", revision.short())),
                None => line,
            };
            let line = line.toned(
                Tone::Faint,
                format!(" in {}", words::duration(site.elapsed_millis())),
            );
            match fault {
                Some(fault) => line.text(format!(": {}", fault.what)),
                None => line,
            }
        }
        Some(End::Broke(fault)) => line.text(format!(": {}", fault.what)),
        _ => line,
    }
}

/// Which containers are other ones than before.
fn renewed(site: &Site) -> Option<Line> {
    let names = site.renewed.join(", ");
    (!names.is_empty()).then(|| {
        Line::from("    ")
            .toned(Tone::Faint, "new containers: ")
            .text(names)
    })
}

fn total(board: &Board) -> Line {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for site in board.sites() {
        let (word, _) = words::site(site);
        match kinds.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => kinds.push((word, 1)),
        }
    }
    let parts: Vec<String> = kinds
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    Line::new().toned(
        Tone::Faint,
        format!("{} in all: {}", board.sites().len(), parts.join(", ")),
    )
}
