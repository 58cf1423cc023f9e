//! Keeps the live screen on a terminal: hands rows to indicatif, which redraws what changed at a bounded rate.

use std::collections::HashMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tree::{Frame, rows};
use crate::board::{Board, Site};
use crate::event::Place;
use crate::terminal::{Line, Terminal};

const REDRAWS_PER_SECOND: u8 = 15;
const MILLIS_PER_BEAT: u128 = 120;

pub(super) struct Live {
    terminal: Terminal,
    screen: MultiProgress,
    rows: Vec<ProgressBar>,
    began: Instant,
    started: HashMap<Place, Instant>,
}

impl Live {
    pub(super) fn new(terminal: Terminal) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        Self {
            terminal,
            screen: MultiProgress::with_draw_target(target),
            rows: Vec::new(),
            began: Instant::now(),
            started: HashMap::new(),
        }
    }

    /// Leaves a line standing above the moving part.
    pub(super) fn print(&self, line: &Line) {
        let text = line.render(self.terminal.look().colour);
        // Where the terminal has gone there is nobody left to tell.
        self.screen.println(text).ok();
    }

    pub(super) fn draw(&mut self, board: &Board) {
        for site in board.sites() {
            if site.deploy.is_some() && !self.started.contains_key(&site.place) {
                self.started.insert(site.place.clone(), Instant::now());
            }
        }
        let (width, height) = self.terminal.size();
        let beat = self.began.elapsed().as_millis() / MILLIS_PER_BEAT;
        let elapsed = |site: &Site| {
            let began = self.started.get(&site.place)?;
            match site.end {
                Some(_) => Some(site.elapsed_millis()),
                None => u64::try_from(began.elapsed().as_millis()).ok(),
            }
        };
        let frame = Frame {
            width,
            height,
            beat: usize::try_from(beat).unwrap_or_default(),
            elapsed: &elapsed,
        };
        let lines = rows(board, &frame);
        self.set_rows(&lines);
    }

    fn set_rows(&mut self, lines: &[Line]) {
        while self.rows.len() > lines.len() {
            if let Some(row) = self.rows.pop() {
                self.screen.remove(&row);
            }
        }
        while self.rows.len() < lines.len() {
            let style = ProgressStyle::with_template("{msg}");
            let row = ProgressBar::new_spinner();
            let row = match style {
                Ok(style) => row.with_style(style),
                Err(_) => row,
            };
            self.rows.push(self.screen.add(row));
        }
        let colour = self.terminal.look().colour;
        for (row, line) in self.rows.iter().zip(lines) {
            let text = line.render(colour);
            if row.message() != text {
                row.set_message(text);
            }
        }
    }

    /// Takes every row away; the next draw brings them back.
    pub(super) fn pause(&mut self) {
        self.set_rows(&[]);
        self.screen.clear().ok();
    }
}
