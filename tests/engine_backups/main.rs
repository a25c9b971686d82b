//! Engine lane: volumes out of backups. Create answers at once and the content
//! follows, over restarts of everything; a Mount waits, and then says how far it
//! is; what is damaged is never mounted.
//!
//! With `BERTH_LONG=1` (`scripts/test --long`) one restore takes five minutes and
//! Docker's own deadlines are waited for; otherwise Berth's are shortened, except
//! in the managed plugin, to which Docker gives half a minute.

mod answers;
mod compose;
mod damaged;
mod restarts;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    pause::Pause,
    poll::{self, SOON},
    rig::Rig,
};

/// Create is answered when the rest is a job's: after a second, and what processes
/// need to start.
const AT_ONCE: Duration = Duration::from_secs(4);
/// How long Berth waits in a Mount, where a test says.
const PATIENCE: u64 = 5;
/// What Docker gives to a Mount.
const DOCKERS: Duration = Duration::from_secs(120);
const MIB: usize = 1 << 20;

/// A repository that is read so fast.
fn configuration(place: &Path, limit: Option<&str>) -> String {
    let limit = limit.map_or_else(String::new, |limit| format!("limit-download = \"{limit}\"\n"));
    let place = place.display();
    format!(
        "[repositories.default]\nurl = \"{place}/repository\"\npassword-file = \"{place}/key\"\n{limit}"
    )
}

/// As many files of a mebibyte that nothing compresses.
fn furnish(data: &Path, files: usize) {
    let mut source = File::open("/dev/urandom").expect("noise");
    let mut noise = vec![0; MIB];
    for number in 0..files {
        source.read_exact(&mut noise).expect("noise");
        fs::write(data.join(format!("part-{number}")), &noise).expect("a file");
    }
}

/// A host with a volume `db` and a backup of it.
struct Ground {
    rig: Rig,
    backup: String,
    /// What [`Ground::sums`] says of `db`.
    sums: String,
}

impl Ground {
    /// A volume of that many mebibytes. A Mount waits for `patience` seconds, if given.
    #[track_caller]
    fn new(files: usize, patience: Option<u64>) -> Self {
        let rig = Rig::with("backups", false, |setup| {
            let stage = setup.root.parent().expect("on the stage").to_owned();
            let file = stage.join("berth.toml");
            fs::write(&file, configuration(&stage, None)).expect("a file on our stage");
            let mut setup = setup;
            setup.config = Some(file);
            let seconds = patience.map(|seconds| seconds.to_string());
            seconds
                .into_iter()
                .fold(setup, |setup, seconds| setup.env("BERTH_TEST_DEADLINE_SECONDS", seconds))
        });
        rig.berth.ok(&["repository", "init", "default"]);
        rig.engine.ok(&["volume", "create", "-d", "berth", "db"]);
        furnish(&rig.berth.data("db"), files);
        let backup = rig.berth.ok(&["backup", "create", "db"]);
        let mut ground = Self { rig, backup, sums: String::new() };
        ground.sums = ground.sums("db");
        ground
    }

    /// Starts Berth anew: the repository is read no faster than so.
    #[track_caller]
    fn limit(&mut self, limit: Option<&str>) {
        self.rig.stage.file("berth.toml", configuration(self.rig.stage.path(), limit));
        self.rig.berth.restart();
    }

    /// Starts Berth anew, to wait at the first pass of a failpoint.
    #[track_caller]
    fn pause(&mut self, failpoint: &str) -> Pause {
        let pause = Pause::at(self.rig.stage.path(), failpoint, 1);
        let setup = self.rig.berth.setup.clone();
        self.rig.berth.setup = setup.env("BERTH_FAILPOINTS", pause.rule());
        self.rig.berth.restart();
        pause
    }

    /// `docker volume create --label a=b -o from=… new`, with this backup.
    fn create(&self) -> Output {
        let from = format!("from=backup:{}", self.backup);
        let words = ["volume", "create", "--label", "a=b", "-d", "berth", "-o", &from, "new"];
        self.rig.engine.run(&words)
    }

    /// As [`Self::create`], answered at once.
    #[track_caller]
    fn create_at_once(&self) {
        let asked = Instant::now();
        let output = self.create();
        assert!(output.status.success(), "{output:?}");
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }

    /// What Docker shows of `new`, with its labels and options, in this state.
    #[track_caller]
    fn shown(&self, state: &str) -> Value {
        let shown = self.rig.engine.ok(&["volume", "inspect", "new"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        whole(&shown[0], &self.backup);
        assert_eq!(shown[0]["Status"]["state"], state, "{shown}");
        shown[0].clone()
    }

    /// The text that says how far it is, as Docker shows it in the volume's status.
    #[track_caller]
    fn far(&self) -> String {
        let shown = self.shown("creating");
        shown["Status"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Docker shows how far it is: at once, or when Berth has started.
    #[track_caller]
    fn is_filling(&self) {
        poll::holds("it says how far it is", SOON, || self.far().ends_with(" MiB done"));
        self.tells(&self.far());
    }

    /// What a text must say while `new` is being restored.
    #[track_caller]
    fn tells(&self, text: &str) {
        let backup = &self.backup[..12];
        let what = format!("being restored from backup `{backup}` of repository `default`: ");
        assert!(text.contains(&what) && text.contains(" MiB done"), "{text}");
    }

    /// `docker run` with `new`, which is refused with a text that says how far it is.
    #[track_caller]
    fn is_refused(&self) {
        let asked = Instant::now();
        let output = self.rig.try_sh(&["-v", "new:/data"], "true");
        assert!(!output.status.success(), "nothing is restored yet");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("volume `new`: it is still creating"), "{said}");
        assert!(said.contains("berth job ls"), "{said}");
        self.tells(&said);
        assert!(asked.elapsed() < DOCKERS, "Docker was faster: {:?}", asked.elapsed());
        self.shown("creating");
    }

    /// Sums of all files of a volume, as a container sees them.
    #[track_caller]
    fn sums(&self, volume: &str) -> String {
        self.rig.sh(&["-v", &format!("{volume}:/data")], "cd /data && sha256sum *")
    }

    /// The volume has the content of the backup, and Docker all it knew of it.
    #[track_caller]
    fn is_restored(&self) {
        assert_eq!(self.sums("new"), self.sums);
        self.shown("ready");
        self.rig.references("new", 0);
        self.rig.unmounted("new");
    }
}

/// Nothing is lost of what only Docker knows.
#[track_caller]
fn whole(shown: &Value, backup: &str) {
    assert_eq!(shown["Labels"], json!({"a": "b"}), "{shown}");
    assert_eq!(shown["Options"], json!({"from": format!("backup:{backup}")}), "{shown}");
}
