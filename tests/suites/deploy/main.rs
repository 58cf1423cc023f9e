//! Claims about longshore, driven as an operator drives it: the real controller, TLS, agent, engine and Compose.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod adopting;
mod alone;
mod audit;
mod bad_input;
mod beside;
mod between;
mod canary;
mod compose_dies;
mod confirming;
mod deploys;
mod doctor;
mod escapes;
mod examples;
mod going_back;
mod gone;
mod hooks;
mod hosts;
mod identities;
mod killed;
mod leaving;
mod many;
mod one_service;
mod outside;
mod portal;
mod preview;
mod quickstart;
mod raw;
mod registries;
mod several_hosts;
mod strangers;
mod too_much;
mod values;
mod verdict;
mod whole;
mod world;
