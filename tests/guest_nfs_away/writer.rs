//! A container, as far as storage is concerned: a process in a mount namespace of its
//! own that writes lines, and says of each that it is on stable storage.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::poll;

/// It writes a line, syncs it, and only then says so in a file elsewhere.
const SCRIPT: &str = r#"
number=0
while :; do
    number=$((number + 1))
    echo "$number" | dd of="$1/lines" oflag=append conv=notrunc,fsync status=none || exit 1
    echo "$number" >>"$2"
    sleep 0.1
done
"#;

/// The writer. Dropped, it is killed.
pub(crate) struct Writer {
    child: Child,
    acknowledged: PathBuf,
}

impl Writer {
    /// Starts to write at `mountpoint`; what is acknowledged is noted in `notes`.
    pub(crate) fn start(mountpoint: &Path, notes: PathBuf) -> Self {
        File::create(&notes).expect("a file on our stage");
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "writer"])
            .args([mountpoint, &notes])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare of util-linux");
        Self { child, acknowledged: notes }
    }

    /// How many lines are on stable storage, as far as the writer knows.
    pub(crate) fn acknowledged(&self) -> usize {
        fs::read_to_string(&self.acknowledged).expect("readable").lines().count()
    }

    /// Waits until it has written more.
    #[track_caller]
    pub(crate) fn goes_on(&self, limit: Duration) {
        let before = self.acknowledged();
        poll::holds("the writer goes on", limit, || self.acknowledged() > before + 1);
    }

    /// Ends it; nothing that was acknowledged is missing in `file`.
    #[track_caller]
    pub(crate) fn has_lost_nothing(mut self, file: &Path) {
        assert_eq!(self.child.try_wait().expect("our child"), None, "it met an error");
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
        let acknowledged = self.acknowledged();
        let written = fs::read_to_string(file).expect("readable");
        let lines: Vec<usize> =
            written.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(lines.len() >= acknowledged, "{} of {acknowledged}", lines.len());
        assert!(lines.iter().copied().eq(1..=lines.len()), "torn or doubled: {lines:?}");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
