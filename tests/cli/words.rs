//! Help, usage errors, refusals: what needs no daemon.

use std::{fs, path::Path, process::Stdio};

use insta::assert_snapshot;

use crate::{berth, run, said};

/// Help of a noun and of each of its verbs.
fn help(words: &[&str]) -> String {
    let top = run(&[words, &["--help"]].concat());
    assert!(top.status.success(), "{}", said(&top));
    assert!(top.stderr.is_empty(), "help is what was asked for: it is data");
    let top = String::from_utf8(top.stdout).expect("help is UTF-8");
    let mut text = format!("$ berth {} --help\n{top}", words.join(" "));
    let verbs = top.split_once("Verbs:\n").map_or("", |(_, rest)| rest);
    for line in verbs.lines().take_while(|line| !line.is_empty()) {
        // A deeper line goes on with the text of the one above.
        let Some(verb) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else {
            continue;
        };
        let verb = verb.split_whitespace().next().expect("a verb");
        if verb != "help" {
            text.push('\n');
            text.push_str(&help(&[words, &[verb]].concat()));
        }
    }
    text
}

#[test]
fn help_of_the_whole() {
    let output = run(&["--help"]);
    assert_snapshot!(said(&output));
}

#[test]
fn help_of_every_noun() {
    for noun in [
        "volume",
        "snapshot",
        "backup",
        "repository",
        "pool",
        "policy",
        "job",
        "cluster",
        "info",
        "doctor",
        "daemon",
        "completions",
        "version",
    ] {
        assert_snapshot!(format!("help_{noun}"), help(&[noun]));
    }
}

#[test]
fn no_words_at_all_is_a_usage_error_that_helps() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: berth"));
}

#[test]
fn usage_errors_are_exit_code_2() {
    assert_snapshot!(said(&run(&["volume", "lss"])), @r"
    exit: 2
    --- stderr
    error: unrecognized subcommand 'lss'

      tip: a similar subcommand exists: 'ls'

    Usage: berth volume [OPTIONS] <VERB>

    For more information, try '--help'.
    ");
    assert_snapshot!(said(&run(&["volume", "create", "db", "-o", "size"])), @r"
    exit: 2
    --- stderr
    error: invalid value 'size' for '--option <KEY=VALUE>': write KEY=VALUE

    For more information, try '--help'.
    ");
    assert_snapshot!(said(&run(&["volume", "rm", "--json"])), @r#"
    exit: 2
    --- stderr
    {"error":{"kind":"invalid","message":"the following required arguments were not provided: <NAME>...","hint":null}}
    "#);
    assert_snapshot!(said(&run(&["volume", "inspect", ""])), @r"
    exit: 2
    --- stderr
    error: a value is required for '<NAME>...' but none was supplied

    For more information, try '--help'.
    ");
}

#[test]
fn a_repeated_option_is_refused_before_the_daemon_is_asked() {
    let output = run(&["volume", "create", "db", "-o", "uid=1", "-o", "uid=2"]);
    assert_snapshot!(said(&output), @r"
    exit: 2
    --- stderr
    error: option `uid` is given twice: `1` and `2`
    ");
}

#[test]
fn an_unreachable_daemon_says_where_it_was_looked_for() {
    assert_snapshot!(said(&run(&["volume", "ls"])), @r"
    exit: 1
    --- stderr
    error: cannot reach the daemon at `/nowhere/berth.sock`: No such file or directory (os error 2)
    hint: start it with `systemctl start berth` or `berth daemon`; if it listens elsewhere: --socket PATH or BERTH_SOCKET
    ");
    let flag = run(&["--socket", "/else/where.sock", "info", "--json"]);
    assert_snapshot!(said(&flag), @r#"
    exit: 1
    --- stderr
    {"error":{"kind":"unavailable","message":"cannot reach the daemon at `/else/where.sock`: No such file or directory (os error 2)","hint":"start it with `systemctl start berth` or `berth daemon`; if it listens elsewhere: --socket PATH or BERTH_SOCKET"}}
    "#);
    let usual = berth(&["info"]).env("BERTH_SOCKET", "").output().expect("the program starts");
    assert!(said(&usual).contains("/run/berth/berth.sock"), "an empty variable says nothing");
}

#[test]
fn a_socket_that_nobody_answers_is_an_unreachable_daemon() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let output = run(&["--socket", socket.to_str().expect("UTF-8"), "doctor"]);
    let text = said(&output);
    assert!(text.starts_with("exit: 1\n"), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}

#[test]
fn several_names_are_all_tried_and_each_error_is_told() {
    let output = run(&["volume", "rm", "a", "b"]);
    let text = said(&output);
    assert_eq!(text.matches("error: cannot reach the daemon").count(), 2, "{text}");
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["volume", "inspect", "--json", "a", "b"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[]\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2);
}

#[test]
fn a_restore_has_one_target() {
    for words in [
        &["backup", "restore", "4f0a", "db2", "-o", "pool=fast"][..],
        &["backup", "restore", "4f0a", "--in-place", "--repository", "r"],
        &["backup", "restore", "--all", "--host", "h"],
    ] {
        let text = said(&run(words));
        assert!(text.contains("cannot reach the daemon"), "{words:?}: {text}");
    }
    for words in [
        &["backup", "restore", "4f0a"][..],
        &["backup", "restore", "4f0a", "db2", "--in-place"],
        &["backup", "restore", "4f0a", "--in-place", "-o", "pool=fast"],
        &["backup", "restore", "--all"],
        &["backup", "restore", "--host", "h"],
        &["backup", "restore", "4f0a", "db2", "-o", "from=db"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
    }
}

#[test]
fn what_is_not_built_is_known_and_refused() {
    let commands: &[&[&str]] = &[
        &["volume", "move", "db", "--zone", "a"],
        &["pool", "repair", "fast"],
        &["cluster", "join"],
        &["cluster", "leave"],
        &["cluster", "status"],
    ];
    let mut all = String::new();
    for words in commands {
        let output = run(words);
        assert_eq!(output.status.code(), Some(5), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{words:?}");
        all.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(all.lines().count(), commands.len(), "one line each");
    assert_snapshot!(all);
}

#[test]
fn a_wrong_configuration_is_one_clear_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("berth.toml");
    let try_out = |text: &str| {
        fs::write(&file, text).expect("written");
        let path = file.to_str().expect("UTF-8");
        said(&run(&["daemon", "--config", path])).replace(path, "berth.toml")
    };
    assert_snapshot!(try_out("[pools.fast]\nbackend = \"vfs\"\ndevcie = \"/dev/sdb\"\n"), @r"
    exit: 2
    --- stderr
    error: `berth.toml` line 3: unknown key `pools.fast.devcie`
    hint: did you mean `device`?
    ");
    assert_snapshot!(try_out("[policies.nightly]\nkeep-snapshots = { hourly = 24 }\n"), @r#"
    exit: 2
    --- stderr
    error: `berth.toml` line 1: `policies.nightly.snapshot` is missing
    hint: give it `snapshot = "0 * * * *"`, `backup = "30 2 * * *"`, or both
    "#);
    assert_snapshot!(try_out("[pools.default]\nbackend = \"thin\"\ndevice = \"/dev/sdb\"\n"), @r"
    exit: 5
    --- stderr
    error: `berth.toml` line 2: `pools.default.backend` is not available: pools of `thin` are not built yet
    ");
    assert_snapshot!(try_out("[pools.fast]\nbackend = \"vfs\"\npath = \"/srv/fast\"\n"), @r"
    exit: 2
    --- stderr
    error: `berth.toml` line 1: the default pool `default` is not configured
    hint: add [pools.default], or set `default-pool` to one of: fast
    ");
    assert_snapshot!(try_out("implicit-create = 1\n"), @r"
    exit: 2
    --- stderr
    error: `berth.toml` line 1: `implicit-create` must be `true` or `false`, not an integer
    ");
    assert_snapshot!(try_out("[pools.default\n"), @r"
    exit: 2
    --- stderr
    error: `berth.toml` line 1: unclosed table, expected `]`
    ");
}

#[test]
fn a_named_configuration_must_be_there() {
    let missing = Path::new("/nowhere/berth.toml");
    let by_flag = run(&["daemon", "--config", "/nowhere/berth.toml"]);
    assert_snapshot!(said(&by_flag), @r"
    exit: 3
    --- stderr
    error: configuration file `/nowhere/berth.toml` does not exist
    ");
    let by_variable = berth(&["daemon"]).env("BERTH_CONFIG", missing).output().expect("starts");
    assert_eq!(said(&by_variable), said(&by_flag));
}

#[test]
fn the_version_is_said_three_ways() {
    let version = env!("CARGO_PKG_VERSION");
    for words in [&["version"][..], &["--version"]] {
        let output = run(words);
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("berth {version}\n"));
    }
    let output = run(&["version", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value, serde_json::json!({ "version": version }));
}

#[test]
fn completions_know_nouns_and_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        for word in ["undelete", "rebuild", "take-over", "doctor"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = berth(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Closed before the script, which is longer than a pipe holds, is written.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    assert!(output.stderr.is_empty(), "{}", said(&output));
}
