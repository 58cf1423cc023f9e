//! The owner of deploys over a real store, a real journal and real staging; only Docker is scripted.

#![allow(clippy::unwrap_used, reason = "a test, in helpers as well")]

mod adopt;
mod agreed;
mod back;
mod bundle;
mod chance;
mod check;
mod confirm;
mod copies;
mod crash;
mod damage;
mod deeds;
mod directory;
mod disk;
mod durable;
mod ends;
mod files;
mod foreign;
mod history;
mod hooks;
mod jobs;
mod neither;
mod part;
mod power;
mod preview;
mod probes;
mod registry;
mod restart;
mod secrets;
mod simulation;
mod staging;
mod submit;
mod sweep;
mod world;
