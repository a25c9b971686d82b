//! Pools on an image, with a real daemon: made, adopted, mounted again, grown,
//! refused. Needs root and loop devices.

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod life;
mod power;
mod refusal;
mod scene;
