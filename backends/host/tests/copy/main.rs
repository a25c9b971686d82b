//! Copies of trees against real file systems. Needs root.

#![expect(clippy::unwrap_used, reason = "tests")]

mod attributes;
mod deep;
mod disk;
mod facts;
mod failing;
mod holes;
mod images;
mod links;
mod live;
mod measure;
mod mounted;
mod origins;
#[cfg(feature = "testing")]
mod paused;
mod power;
mod subvolumes;
mod wide;

use std::{fs, path::Path, time::Duration};

use berth_api::{Op, Result};
use berth_host::beneath::{
    Dir,
    copy::{Copied, Request, Way, tree, way},
};

fn op() -> Op {
    Op::new(Duration::from_mins(5))
}

/// Copies `from` to `to`, which is made if need be, in the way that the disk has.
fn copy(from: &Path, to: &Path) -> Result<Copied> {
    let found = way(&Dir::open(from).unwrap()).unwrap();
    copy_by(found, from, to, &op())
}

fn copy_by(way: Way, from: &Path, to: &Path, op: &Op) -> Result<Copied> {
    fs::create_dir_all(to).unwrap();
    let (from, to) = (Dir::open(from).unwrap(), Dir::open(to).unwrap());
    tree(&Request { from: &from, to: &to, way, origins: false, op })
}
