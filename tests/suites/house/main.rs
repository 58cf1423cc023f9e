//! The rules of the house, held by tests: what may be depended on, and what may know what.

mod dependencies;
mod layering;
