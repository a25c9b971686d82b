//! Two hosts with one pool, one repository and the same policy: each slot once.

use serde_json::Value;

use crate::{
    Clock,
    support::{
        daemon::{Daemon, Setup},
        host::Host,
        poll::{self, SOON},
        stage::Stage,
    },
};

struct Side {
    daemon: Daemon,
    _host: Host,
    _stage: Stage,
}

impl Side {
    fn new(name: &str, clock: &Clock, config: &str) -> Self {
        let stage = Stage::new(name);
        let host = Host::boot(&stage);
        let setup = Setup::on(&stage, &host).config(&stage, config).env("TZ", "UTC");
        let file = clock.file.display().to_string();
        let daemon = setup.env("BERTH_TEST_CLOCK", file).start();
        Self { daemon, _host: host, _stage: stage }
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = self.daemon.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).expect("JSON on stdout")
    }

    fn tasks(&self) -> Vec<Value> {
        let policy = self.json(&["policy", "inspect", "h"]);
        policy[0]["tasks"].as_array().cloned().unwrap_or_default()
    }
}

#[test]
fn two_hosts_on_one_pool_make_each_slot_once() {
    let share = Stage::new("policies-share");
    let clock = Clock::new(&share);
    let (pool, repository) = (share.folder("pool").join("p"), share.join("repository"));
    let key = share.file("key", "a password of both\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).expect("ours");
    let config = format!(
        "[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\nshared = true\n\
         [repositories.default]\nurl = \"{}\"\npassword-file = \"{}\"\n\
         [policies.h]\nsnapshot = \"0 * * * *\"\nkeep-snapshots = {{ last = 2 }}\n\
         backup = \"0 * * * *\"\nkeep-backups = {{ last = 2 }}\n",
        pool.display(),
        repository.display(),
        key.display()
    );
    let one = Side::new("policies-1", &clock, &config);
    one.daemon.ok(&["repository", "init"]);
    let two = Side::new("policies-2", &clock, &config);
    one.daemon.ok(&["volume", "create", "v", "-o", "policy=h"]);
    poll::holds("both have met the volume", SOON, || {
        let tasks = [one.tasks(), two.tasks()].concat();
        tasks.len() == 4 && tasks.iter().all(|task| task["since"].is_string())
    });
    let done = |side: &Side, slot: &str| {
        let tasks = side.tasks();
        let done = |task: &Value| {
            task["last"] == slot && task["state"] == "waiting" && task["removal-next"].is_null()
        };
        tasks.len() == 2 && tasks.iter().all(done)
    };
    for hour in 1..=4 {
        let slot = format!("2026-03-02T{hour:02}:00:00Z");
        clock.set(&slot);
        poll::holds("one host makes it", SOON, || done(&one, &slot) || done(&two, &slot));
        // The other one looks later, and finds it made; what was in its way is tried again.
        let mut looks = 0;
        poll::holds("both hosts take it for done", SOON, || {
            if looks < 10 {
                looks += 1;
                clock.minutes(1);
            }
            done(&one, &slot) && done(&two, &slot)
        });
    }
    let names = |side: &Side| -> Vec<String> {
        let all = side.json(&["snapshot", "ls", "v"]);
        let all = all.as_array().expect("a list").iter();
        all.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    poll::equal(
        "snapshots",
        SOON,
        &vec!["v@h-20260302T030000Z".to_owned(), "v@h-20260302T040000Z".to_owned()],
        || names(&one),
    );
    let backups = one.json(&["backup", "ls", "v"]);
    let hour = |one: &Value| one["created"].as_str().expect("a time")[..13].to_owned();
    let hours: Vec<_> = backups.as_array().expect("a list").iter().map(hour).collect();
    assert_eq!(hours, ["2026-03-02T03", "2026-03-02T04"]);
}
