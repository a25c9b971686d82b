//! Engine lane: two hosts, each with its own dockerd and its own Berth, on volumes that
//! both have.

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod containers;
mod place;
mod restarts;
mod seeds;
mod site;
mod swarm;
