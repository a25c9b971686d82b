//! Records in files, driven: two hosts at every interleaving of their steps,
//! answers that are lost, hosts that die between two steps, files that somebody
//! planted.
//!
//! The steps are the failpoints of the real code; `schedule` decides at each of
//! them which host goes on.

mod attachments;
mod crashes;
mod hostile;
mod names;
mod place;
mod pool;
mod schedule;
mod writers;
