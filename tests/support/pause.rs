//! A daemon that stops at a failpoint until it is let go.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::poll::{self, SOON};

/// One pass of a failpoint, at which the daemon waits.
#[derive(Debug)]
pub struct Pause {
    rule: String,
    file: PathBuf,
}

impl Pause {
    /// The pass number `nth` of the failpoint `name`; `folder` is for its marks.
    pub fn at(folder: &Path, name: &str, nth: u64) -> Self {
        let file = folder.join(format!("pause-{name}-{nth}"));
        Self { rule: format!("{name}=pause:{}@{nth}", file.display()), file }
    }

    /// For `BERTH_FAILPOINTS`.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Waits until the daemon is there.
    #[track_caller]
    pub fn reached(&self) {
        let mut mark = self.file.clone().into_os_string();
        mark.push(".reached");
        poll::holds("the failpoint is reached", SOON, || fs::exists(&mark).unwrap_or(false));
    }

    /// Lets it go on.
    pub fn release(&self) {
        File::create(&self.file).expect("ours");
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // A test that panics does not leave a thread of the daemon waiting.
        let _ = File::create(&self.file);
    }
}
