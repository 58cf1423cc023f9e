//! The rows of the live screen, as text: a header for each place, its images with a bar for each layer, a
//! line for each container; one row for each place where more would not fit.

use proto::event::LayerPhase;

use super::words;
use crate::amount::bytes;
use crate::board::{Board, HookSeen, Image, Layer, Site};
use crate::terminal::{Line, Tone};

/// What a redraw needs besides the board.
pub(super) struct Frame<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Counts redraws of the sign of life.
    pub(super) beat: usize,
    /// Milliseconds since each place's deploy began, by this machine's clock.
    pub(super) elapsed: &'a dyn Fn(&Site) -> Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Layers,
    Images,
    Places,
}

/// Above this many places the eye wants one row each.
const MOST_DETAILED: usize = 4;
const MOST_LAYERS_SHOWN: usize = 6;
const BAR: usize = 24;

/// The rows that fit, in the fullest detail that does.
pub(super) fn rows(board: &Board, frame: &Frame<'_>) -> Vec<Line> {
    let details = [Detail::Layers, Detail::Images];
    let room = frame.height.saturating_sub(1);
    let cut = |line: Line| line.cut(frame.width.saturating_sub(1));
    if board.sites().len() <= MOST_DETAILED {
        for detail in details {
            let rows = detailed(board, frame, detail);
            if rows.len() <= room {
                return rows.into_iter().map(cut).collect();
            }
        }
    }
    overview(board, frame, room).into_iter().map(cut).collect()
}

fn detailed(board: &Board, frame: &Frame<'_>, detail: Detail) -> Vec<Line> {
    let mut rows = Vec::new();
    for site in board.sites() {
        rows.push(header(site, board.place_width(), frame, detail));
        if site.end.is_none() {
            for image in site.images.iter().filter(|image| image.end.is_none()) {
                image_rows(image, detail, &mut rows);
            }
            rows.extend(hook_rows(site));
            rows.extend(container_rows(site));
            let compose = site.compose.iter();
            rows.extend(compose.map(|text| Line::from("    ").toned(Tone::Faint, text.trim())));
        }
    }
    rows
}

fn overview(board: &Board, frame: &Frame<'_>, room: usize) -> Vec<Line> {
    let width = board.place_width();
    let row = |site: &Site| header(site, width, frame, Detail::Places);
    if board.sites().len() <= room {
        return board.sites().iter().map(row).collect();
    }
    // Those still at work are worth their row most.
    let (working, ended): (Vec<_>, Vec<_>) =
        board.sites().iter().partition(|site| site.end.is_none());
    let shown = room.saturating_sub(1);
    let hidden = working.len().saturating_sub(shown);
    let mut rows: Vec<Line> = working.into_iter().take(shown).map(row).collect();
    let rest = format!("  and {hidden} more at work, {} ended", ended.len());
    rows.push(Line::new().toned(Tone::Faint, rest));
    rows
}

fn header(site: &Site, width: usize, frame: &Frame<'_>, detail: Detail) -> Line {
    const LIFE: [&str; 4] = ["◜", "◝", "◞", "◟"];
    let (word, tone) = words::site(site);
    let sign = if site.end.is_none() && tone == Tone::Busy {
        LIFE[frame.beat % LIFE.len()]
    } else {
        words::sign(tone)
    };
    let place = site.place.to_string();
    let mut line = Line::new()
        .toned(tone, sign)
        .text(" ")
        .toned(Tone::Strong, format!("{place:width$}  "))
        .toned(tone, word);
    if detail == Detail::Places && site.end.is_none() {
        line = line.text(progress(site));
    }
    match (frame.elapsed)(site) {
        Some(millis) => line.toned(Tone::Faint, format!("  {}", words::duration(millis))),
        None => line,
    }
}

/// Bytes while pulling, containers afterwards.
fn progress(site: &Site) -> String {
    let sums = site
        .images
        .iter()
        .filter(|image| image.end.is_none())
        .map(Image::downloaded);
    let (got, all) = sums.fold((0, 0), |(a, b): (u64, u64), (c, d)| {
        (a.saturating_add(c), b.saturating_add(d))
    });
    if all > 0 {
        return format!("  {} of {}", bytes(got), bytes(all));
    }
    match site.settled() {
        (_, 0) => String::new(),
        (good, all) => format!("  {good} of {all} ready"),
    }
}

fn image_rows(image: &Image, detail: Detail, rows: &mut Vec<Line>) {
    let (got, all) = image.downloaded();
    let (done, layers) = image.layers_done();
    let mut line = Line::from("    ").text(&image.name).text("  ");
    if all > 0 {
        line = line.toned(Tone::Busy, bar(got, all)).text(format!(
            "  {} of {}",
            bytes(got),
            bytes(all)
        ));
    }
    rows.push(line.toned(Tone::Faint, format!("  {done} of {layers} layers")));
    if detail == Detail::Layers {
        let active = |layer: &&Layer| {
            matches!(
                layer.phase,
                LayerPhase::Downloading | LayerPhase::Extracting
            )
        };
        let active = image.layers.iter().filter(active);
        rows.extend(active.take(MOST_LAYERS_SHOWN).map(layer_row));
    }
}

fn layer_row(layer: &Layer) -> Line {
    let line = Line::from("      ").toned(
        Tone::Faint,
        format!("{}  {:11}  ", layer.name, words::phase(layer.phase)),
    );
    match layer.total {
        0 => line.text(bytes(layer.current)),
        total => line
            .toned(Tone::Busy, bar(layer.current, total))
            .text(format!("  {} of {}", bytes(layer.current), bytes(total))),
    }
}

fn bar(got: u64, all: u64) -> String {
    let share = u128::from(got.min(all)) * BAR as u128 / u128::from(all.max(1));
    let full = usize::try_from(share).unwrap_or(BAR);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

/// Hooks that run; those that have ended left a line.
fn hook_rows(site: &Site) -> Vec<Line> {
    let running = site.hooks.values().filter(|hook| hook.outcome.is_none());
    let row = |hook: &HookSeen| {
        Line::from("    ")
            .toned(Tone::Busy, "·")
            .text(format!(" {} the deploy, {}  ", hook.when, hook.service))
            .toned(Tone::Faint, &hook.command)
    };
    running.map(row).collect()
}

fn container_rows(site: &Site) -> Vec<Line> {
    let width = site.containers.keys().map(String::len).max().unwrap_or(0);
    let row = |(name, one): (&String, &crate::board::Container)| {
        let (phrase, tone) = words::container(one);
        let sign = if one.settled { "✓" } else { "·" };
        let line = Line::from("    ")
            .toned(if one.settled { Tone::Good } else { Tone::Busy }, sign)
            .text(format!(" {name:width$}  "))
            .toned(tone, phrase);
        if one.settled {
            line.toned(Tone::Good, ", ready")
        } else {
            line
        }
    };
    site.containers.iter().map(row).collect()
}
