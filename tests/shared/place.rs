//! Where two hosts keep what they share: here, in a folder that both see.

use std::path::PathBuf;

use crate::support::{host::Host, stage::Stage};

/// The folder.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    /// Pairs of hosts at work at the same time; they mostly wait.
    pub(crate) const PAIRS: usize = 3;
    /// How often what one host may lose is raced for.
    pub(crate) const ROUNDS: usize = 40;
    /// How many kinds of files are planted.
    pub(crate) const PLANTS: usize = usize::MAX;

    /// The kinds of steps at which a host is killed; all of them.
    pub(crate) fn kinds_of_steps() -> Option<&'static [&'static str]> {
        None
    }

    pub(crate) fn new(stage: &Stage) -> Self {
        Self { path: stage.folder("share").join("pool") }
    }

    /// Gives a host the way to it.
    #[expect(clippy::unused_self, reason = "other places are not seen by themselves")]
    pub(crate) fn reach(&mut self, _: &Host) {}

    /// The pool, as the file server has it.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The configuration of a host that uses it; `more` is what the section of its
    /// pool says besides.
    pub(crate) fn config(&self, more: &str) -> String {
        format!(
            "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\nshared = true\n{more}",
            self.path.display()
        )
    }
}
