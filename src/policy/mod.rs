//! When a policy asks for something, and what it keeps: pure, from what it is given.
//!
//! | module | noun |
//! |---|---|
//! | [`schedule`] | a cron text, and the times it stands for |
//!
//! Knows neither volumes nor repositories, reads no clock and no file.

pub mod schedule;

pub use schedule::Schedule;
