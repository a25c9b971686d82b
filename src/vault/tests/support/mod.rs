//! Servers for tests of S3: real ones, a bad line to them, one that lets nothing be
//! written, and one that only says no.
//!
//! `scripts/test vault` installs the real ones and names them in `BERTH_S3S` and
//! `BERTH_MOTO`; a test that needs one and has none fails.
#![allow(dead_code, unused_imports, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod canned;
mod guard;
mod line;
mod moto;
mod process;
pub(crate) mod restics;
mod s3s;

pub(crate) use canned::Canned;
pub(crate) use guard::Guard;
pub(crate) use line::Line;
pub(crate) use moto::Moto;
pub(crate) use s3s::{BUCKET, S3Server};
