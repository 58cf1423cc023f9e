//! Draws what happens: a live screen on a terminal, lines to read back elsewhere, JSON for machines. Events
//! are the only input, so that a recorded list of them gives the same screen again.

pub mod audit;
pub mod doctor;
pub mod enrol;
pub mod history;
mod hooks;
mod live;
pub mod log;
mod plain;
pub mod plan;
pub mod status;
mod summary;
mod tree;
pub(crate) mod upgrade;
mod words;

use crate::board::Board;
use crate::error::Failure;
use crate::event::{FleetEvent, Place};
use crate::terminal::Terminal;

pub use words::timestamp;

/// Which way to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For people: redrawn where the terminal can do that, lines elsewhere.
    Human,
    /// One JSON object per event.
    Json,
    /// Nothing but failures: the result is written by whoever asked.
    Quiet,
}

enum Drawer {
    Live(live::Live),
    Plain,
    Json,
    Quiet,
}

/// The screen of one command that works in several places.
pub struct Screen {
    terminal: Terminal,
    board: Board,
    drawer: Drawer,
    /// Whose failure has been told already.
    told: Vec<Place>,
}

impl Screen {
    /// A screen for these places.
    #[must_use]
    pub fn new(terminal: &Terminal, kind: Kind, places: impl IntoIterator<Item = Place>) -> Self {
        let drawer = match kind {
            Kind::Json => Drawer::Json,
            Kind::Quiet => Drawer::Quiet,
            Kind::Human if terminal.can_redraw() => Drawer::Live(live::Live::new(terminal.clone())),
            Kind::Human => Drawer::Plain,
        };
        Self {
            terminal: terminal.clone(),
            board: Board::new(places),
            drawer,
            told: Vec::new(),
        }
    }

    /// Takes an event in and shows it.
    pub fn show(&mut self, event: &FleetEvent) {
        let width = self.board.place_width();
        let site = self.board.apply(event);
        match &mut self.drawer {
            Drawer::Live(live) => {
                if let Some(line) = plain::lasting(event, site, width) {
                    live.print(&line);
                }
                live.draw(&self.board);
            }
            Drawer::Plain => {
                for line in plain::lines(event, site, width) {
                    self.terminal.say(line);
                }
            }
            // What has no JSON form cannot be built from these types; losing the line beats losing the deploy.
            Drawer::Json => self.terminal.json(event).unwrap_or_default(),
            Drawer::Quiet => {}
        }
    }

    /// Takes the live part off the terminal until the next event, for a prompt or a text of its own.
    pub fn pause(&mut self) {
        if let Drawer::Live(live) = &mut self.drawer {
            live.pause();
        }
    }

    /// Tells in full what has failed so far, once.
    pub fn tell_failures(&mut self) {
        let sites = self.board.sites().iter();
        let new = sites.filter(|site| !self.told.contains(&site.place));
        let failures: Vec<_> = new
            .filter_map(|site| Some((site.place.clone(), site.failure()?)))
            .collect();
        for (place, failure) in failures {
            tell(&self.terminal, &failure);
            self.told.push(place);
        }
    }

    /// Moves what moves by itself: the clock and the sign of life.
    pub fn tick(&mut self) {
        if let Drawer::Live(live) = &mut self.drawer {
            live.draw(&self.board);
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Takes the live part off the terminal and gives back what is known.
    #[must_use]
    pub fn close(mut self) -> Board {
        self.pause();
        self.board
    }

    /// Closes and tells how each place ended: a line each, and every failure in full on standard error.
    #[must_use]
    pub fn finish(mut self) -> Board {
        self.pause();
        if matches!(self.drawer, Drawer::Live(_) | Drawer::Plain) {
            for line in summary::lines(&self.board) {
                self.terminal.say(line);
            }
        }
        self.tell_failures();
        self.board
    }
}

fn tell(terminal: &Terminal, failure: &Failure) {
    for line in failure.lines() {
        terminal.note(line);
    }
}

/// Every failure in full on standard error.
pub fn tell_failures(terminal: &Terminal, board: &Board) {
    let failures = board.sites().iter().filter_map(crate::board::Site::failure);
    failures.for_each(|failure| tell(terminal, &failure));
}

#[cfg(test)]
mod tests;
