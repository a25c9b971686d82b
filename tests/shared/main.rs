//! Several hosts on one path: each a daemon with a root, processes and mounts of
//! its own.

#[path = "../support/mod.rs"]
mod support;

mod convoy;
mod crashes;
mod gone;
mod hostile;
mod life;
mod pair;
mod paths;
mod place;
mod races;
