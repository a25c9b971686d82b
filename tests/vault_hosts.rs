//! Vault lane: several hosts with one repository. They know nothing of each other;
//! what keeps them from harm are locks, and ids instead of names.

mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::Value;
use support::{
    daemon::{Daemon, Setup},
    host::Host,
    pause::Pause,
    stage::Stage,
};

/// A host with a daemon. Fields go in this order when it is dropped.
struct Side {
    daemon: Daemon,
    _host: Host,
    stage: Stage,
}

/// Two hosts, and the repository of both.
struct Pair {
    one: Side,
    two: Side,
    share: Stage,
}

impl Side {
    #[track_caller]
    fn new(name: &str, share: &Stage) -> Self {
        let stage = Stage::new(&format!("hosts-{name}"));
        let host = Host::boot(&stage);
        host.name(name);
        let text = format!(
            "[repositories.default]\nurl = \"{0}/repository\"\npassword-file = \"{0}/key\"\n",
            share.path().display()
        );
        let daemon = Setup::on(&stage, &host).config(&stage, &text).start();
        Self { daemon, _host: host, stage }
    }

    /// Starts the daemon again, to wait at the first pass of a failpoint.
    #[track_caller]
    fn pause(&mut self, failpoint: &str) -> Pause {
        let pause = Pause::at(self.stage.path(), failpoint, 1);
        self.daemon.setup = self.daemon.setup.clone().env("BERTH_FAILPOINTS", pause.rule());
        self.daemon.restart();
        pause
    }

    /// A volume with a file `own` and one that other volumes have, too.
    #[track_caller]
    fn volume(&self, name: &str, own: &str) {
        self.daemon.ok(&["volume", "create", name]);
        self.write(name, own);
        fs::write(self.daemon.data(name).join("common"), vec![7; 3 << 20]).expect("a file");
    }

    /// The volume's own file.
    fn write(&self, name: &str, own: &str) {
        fs::write(self.daemon.data(name).join("own"), own.repeat(100_000)).expect("a file");
    }

    /// What the volume's own file says.
    fn own(&self, name: &str) -> String {
        said(&fs::read_to_string(self.daemon.data(name).join("own")).expect("restored"))
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.daemon.ok(words)
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Vec<Value> {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).expect("an array on stdout")
    }

    /// What a command says that must fail with this exit code.
    #[track_caller]
    fn refused(&self, words: &[&str], code: i32) -> String {
        let output = self.daemon.berth(words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {text}");
        text
    }
}

impl Pair {
    #[track_caller]
    fn new() -> Self {
        let share = Stage::new("hosts");
        let (one, two) = (Side::new("one", &share), Side::new("two", &share));
        one.ok(&["repository", "init"]);
        Self { one, two, share }
    }

    /// restic with these words, which must succeed.
    #[track_caller]
    fn restic(&self, restic: &Path, words: &[&str]) {
        let output = Command::new(restic)
            .args(["--no-cache", "--repo"])
            .arg(self.share.join("repository"))
            .arg("--password-file")
            .arg(self.share.join("key"))
            .args(words)
            .output()
            .expect("restic is installed");
        assert!(output.status.success(), "{} {words:?}: {output:?}", restic.display());
    }

    /// Both hosts and every restic find the repository whole, and these backups in it,
    /// with what their volumes' own files said.
    #[track_caller]
    fn has(&self, backups: &[(&str, &str)]) {
        for side in [&self.one, &self.two] {
            let mut listed: Vec<_> = side.json(&["backup", "ls"]);
            listed.sort_by_key(|view| view["id"].to_string());
            let mut ids: Vec<_> = backups.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            let listed: Vec<_> =
                listed.iter().map(|view| view["id"].as_str().expect("it")).collect();
            assert_eq!(listed, ids);
            side.ok(&["backup", "verify"]);
            side.ok(&["repository", "check", "--read-data"]);
        }
        for (number, restic) in restics().iter().enumerate() {
            self.restic(restic, &["check", "--read-data"]);
            for (id, own) in backups {
                let to = self.share.folder(format!("out-{number}-{id}"));
                self.restic(restic, &["restore", id, "--target", to.to_str().expect("UTF-8")]);
                let text = fs::read_to_string(to.join("data/own")).expect("restored");
                assert_eq!(said(&text), *own, "{id} by {}", restic.display());
                assert_eq!(fs::read(to.join("data/common")).expect("it"), vec![7; 3 << 20]);
                fs::remove_dir_all(&to).expect("ours");
            }
        }
    }
}

/// The word that a file repeats; all of the file, if it does not.
fn said(text: &str) -> String {
    let word = &text[..text.len() / 100_000];
    if word.repeat(100_000) == text { word.to_owned() } else { text.to_owned() }
}

/// The judges: Debian's restic, and the newest, that `scripts/test vault` downloads.
fn restics() -> [PathBuf; 2] {
    let current = env::var_os("BERTH_RESTIC_CURRENT")
        .expect("BERTH_RESTIC_CURRENT names no restic: run scripts/test vault");
    [PathBuf::from("restic"), PathBuf::from(current)]
}

#[test]
fn two_hosts_back_up_at_once_and_each_sees_all() {
    let pair = Pair::new();
    pair.one.volume("db", "one");
    pair.two.volume("db", "two");
    let many = |side: &Side| -> Vec<String> {
        (0..3).map(|_| side.ok(&["backup", "create", "db"])).collect()
    };
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| many(&pair.two));
        (many(&pair.one), other.join().expect("no panic"))
    });
    let of = |ids: &[String], own: &'static str| -> Vec<(String, &'static str)> {
        ids.iter().map(|id| (id.clone(), own)).collect()
    };
    let all = [of(&first, "one"), of(&second, "two")].concat();
    pair.has(&all.iter().map(|(id, own)| (id.as_str(), *own)).collect::<Vec<_>>());
    for view in pair.one.json(&["backup", "ls"]) {
        let host = if first.iter().any(|id| view["id"] == id.as_str()) { "one" } else { "two" };
        assert_eq!(view["host"], host, "{view}");
    }
    let hosts = [&pair.one, &pair.two].map(|side| side.daemon.control().info()["host-id"].clone());
    assert_ne!(hosts[0], hosts[1]);
    // The parent is one's own: what the other has under this name was never this volume.
    for id in [&first[2], &second[2]] {
        assert_eq!(pair.one.json(&["backup", "inspect", id])[0]["mode"], "incremental");
    }
}

#[test]
fn the_latest_backup_of_a_volume_is_not_that_of_another_hosts_namesake() {
    let pair = Pair::new();
    pair.one.volume("db", "one");
    pair.one.ok(&["backup", "create", "db"]);
    pair.two.volume("db", "two");
    pair.two.ok(&["backup", "create", "db"]);
    for side in [&pair.one, &pair.two] {
        side.ok(&["volume", "create", "again", "-o", "from=backup:latest:db"]);
    }
    assert_eq!((pair.one.own("again"), pair.two.own("again")), ("one".into(), "two".into()));

    // Who has none of its own takes another's only where there is no choice.
    let three = Side::new("three", &pair.share);
    let said = three.refused(&["volume", "create", "db", "-o", "from=backup:latest:db"], 1);
    assert!(said.contains("`one`, `two`") && said.contains("berth backup ls db"), "{said}");
    assert!(three.json(&["volume", "ls"]).is_empty());
    pair.two.volume("web", "web");
    pair.two.ok(&["backup", "create", "web"]);
    three.ok(&["volume", "create", "web", "-o", "from=backup:latest:web"]);
    assert_eq!(three.own("web"), "web");
    // A machine that was set up anew is known by its name.
    drop(pair.one);
    let anew = Side::new("one", &pair.share);
    anew.ok(&["volume", "create", "db", "-o", "from=backup:latest:db"]);
    assert_eq!(anew.own("db"), "one");
}

#[test]
fn nobody_prunes_under_a_backup_of_another_host() {
    let mut pair = Pair::new();
    let pause = pair.two.pause("backup.snapshot.write");
    pair.one.volume("db", "one");
    pair.two.volume("db", "two");
    let gone = pair.one.ok(&["backup", "create", "db"]);
    pair.one.ok(&["backup", "rm", &gone]);
    // All of its data is uploaded, and no snapshot names it yet.
    let job = pair.two.ok(&["backup", "create", "db", "--detach"]);
    pause.reached();

    for words in [&["repository", "prune"][..], &["backup", "rm", &gone]] {
        let code = if words[0] == "repository" { 4 } else { 3 };
        let said = pair.one.refused(words, code);
        assert!(code == 3 || said.contains("on host `two` holds a lock"), "{said}");
    }
    let first = pair.one.ok(&["backup", "create", "db"]);
    assert_eq!(pair.one.json(&["backup", "ls"]).len(), 1);
    let said = pair.one.refused(&["backup", "rm", &first], 4);
    assert!(said.contains("on host `two` holds a lock"), "{said}");

    pause.release();
    pair.two.ok(&["job", "wait", &job]);
    let listed = pair.two.json(&["backup", "ls"]);
    let second = listed.iter().find(|view| view["host"] == "two").expect("it was made");
    let second = second["id"].as_str().expect("an id").to_owned();
    pair.one.ok(&["repository", "prune"]);
    pair.has(&[(&first, "one"), (&second, "two")]);
}

#[test]
fn a_host_that_dies_while_it_prunes_costs_no_backup() {
    let mut pair = Pair::new();
    pair.one.volume("db", "old");
    pair.two.volume("db", "two");
    let old = pair.one.ok(&["backup", "create", "db"]);
    pair.one.write("db", "one");
    let first = pair.one.ok(&["backup", "create", "db"]);
    let second = pair.two.ok(&["backup", "create", "db"]);
    pair.one.ok(&["backup", "rm", &old]);
    let pause = pair.one.pause("prune.index.write");
    pair.one.ok(&["repository", "prune", "--detach"]);
    pause.reached();

    let said = pair.two.refused(&["backup", "create", "db"], 4);
    assert!(said.contains("on host `one` holds an exclusive lock"), "{said}");
    pair.one.daemon.kill();
    // Whether it is dead only its own host can tell.
    pair.two.refused(&["backup", "create", "db"], 4);
    pair.one.daemon.setup = pair.one.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    pair.one.daemon.restart();
    pair.one.ok(&["repository", "prune"]);
    pair.has(&[(&first, "one"), (&second, "two")]);
    pair.two.ok(&["backup", "create", "db"]);
}

/// convoy removed by bare prefix.
#[test]
fn convoy_03_removing_the_last_of_vol1_leaves_vol10_of_the_other_host() {
    let pair = Pair::new();
    pair.one.volume("vol1", "first");
    pair.two.volume("vol10", "tenth");
    pair.two.volume("vol1", "theirs");
    let mine = pair.one.ok(&["backup", "create", "vol1"]);
    let tenth = pair.two.ok(&["backup", "create", "vol10"]);
    let theirs = pair.two.ok(&["backup", "create", "vol1"]);

    pair.one.ok(&["backup", "rm", &mine]);
    pair.one.ok(&["repository", "prune"]);
    pair.has(&[(&tenth, "tenth"), (&theirs, "theirs")]);
    pair.one.ok(&["backup", "rm", &theirs]);
    pair.one.ok(&["repository", "prune"]);
    pair.has(&[(&tenth, "tenth")]);
    pair.one.ok(&["backup", "restore", &tenth, "vol10"]);
    assert_eq!(pair.one.own("vol10"), "tenth");
    // What it remembered of its own backup is corrected by the next one.
    pair.two.ok(&["backup", "create", "vol1"]);
}
