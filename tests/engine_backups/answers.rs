//! Docker's own deadlines, where they are short enough to wait for.

use std::{path::Path, time::Instant};

use crate::{
    AT_ONCE, configuration, furnish,
    support::{
        daemon::Setup,
        docker::{Engine, IMAGE},
        host::Host,
        managed::{self, PLUGIN},
        stage::Stage,
    },
};

/// Docker waits 30 s for a managed plugin, and 120 s for others: these are its own.
#[test]
fn a_managed_plugin_answers_before_docker_gives_up() {
    let stage = Stage::new("backups");
    let host = Host::boot(&stage);
    let kept = stage.folder("state");
    let mut other = Setup::on(&stage, &host).config(&stage, &configuration(&kept, None)).start();
    other.ok(&["repository", "init", "default"]);
    other.ok(&["volume", "create", "db"]);
    furnish(&other.data("db"), 16);
    let backup = other.ok(&["backup", "create", "db"]);
    other.stop();
    let inside = Path::new("/var/lib/berth");
    stage.file("state/berth.toml", configuration(inside, Some("256KiB")));
    let engine = Engine::start(&stage, &host);
    managed::install(&stage, &engine, &[], &kept);

    let from = format!("from=backup:{backup}");
    let asked = Instant::now();
    engine.ok(&["volume", "create", "--label", "a=b", "-d", PLUGIN, "-o", &from, "new"]);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    let run = ["run", "--rm", "--network=none", "-v", "new:/data", IMAGE];
    let said = engine.fails(&[&run[..], &["true"]].concat());
    assert!(said.contains("it is still creating") && said.contains(" of 16 MiB done"), "{said}");
    let shown = || engine.inspect("volume", "new", "{{json .Labels}} {{.Status.state}}");
    assert_eq!(shown(), r#"{"a":"b"} creating"#);

    engine.ok(&["plugin", "disable", "-f", PLUGIN]);
    stage.file("state/berth.toml", configuration(inside, None));
    engine.ok(&["plugin", "enable", PLUGIN]);
    let sums = engine.ok(&[&run[..], &["sh", "-c", "cd /data && sha256sum *"]].concat());
    assert_eq!(sums.lines().count(), 16, "{sums}");
    assert_eq!(shown(), r#"{"a":"b"} ready"#);
}
