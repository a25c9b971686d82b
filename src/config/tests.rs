use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{Bytes, Error, ErrorKind};

use super::{Config, ImageConfig, Overrides, Paths};

pub(super) fn parse(text: &str) -> Result<(Config, Paths), Error> {
    Config::parse(Path::new("berth.toml"), text, &Overrides::default())
}

pub(super) fn refused(text: &str) -> (ErrorKind, String, Option<String>) {
    let error = parse(text).expect_err(text);
    (error.kind(), error.chain(), error.hint().map(ToOwned::to_owned))
}

#[test]
fn no_file_is_one_builtin_pool_below_the_root() {
    let config = Config::builtin(Path::new("/r"));
    let pool = &config.pools["default"];
    assert_eq!(config.default_pool, "default");
    assert!(config.implicit_create);
    assert_eq!(
        (pool.backend.as_str(), pool.path.as_path(), pool.builtin),
        ("vfs", Path::new("/r/pools/default"), true)
    );
    assert_eq!(pool.trash, Duration::from_hours(24));
}

#[test]
fn a_file_without_pools_keeps_the_builtin_one() {
    let (config, paths) = parse("implicit-create = false\nroot = \"/data/berth\"").expect("valid");
    assert!(!config.implicit_create);
    assert_eq!(config.pools["default"].path, Path::new("/data/berth/pools/default"));
    assert_eq!(paths.mounts, Path::new("/data/berth/mounts"));
}

#[test]
fn the_example_of_the_contract_with_what_is_built() {
    let (config, _) = parse(
        "default-pool = \"fast\"\n[pools.fast]\nbackend = \"vfs\"\npath = \"/srv//fast/\"\n\
         shared = false\ntrash = \"7d\"\nsize = \"10G\"\nuid = 1000\ngid = \"1000\"\nmode = \"0750\"\n",
    )
    .expect("valid");
    let pool = &config.pools["fast"];
    assert_eq!(pool.path, Path::new("/srv/fast"));
    assert_eq!(pool.trash, Duration::from_hours(7 * 24));
    assert_eq!((pool.defaults.uid, pool.defaults.gid), (Some(1000), Some(1000)));
    assert_eq!(pool.defaults.mode.expect("given").bits(), 0o750);
    assert_eq!(pool.defaults.size, Some(berth_api::Bytes(10 << 30)));
    assert!(!pool.builtin);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let (kind, text, hint) =
        refused("[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\ntrahs = \"1h\"\n");
    assert_eq!(kind, ErrorKind::Invalid);
    assert_eq!(text, "`berth.toml` line 4: unknown key `pools.default.trahs`");
    assert_eq!(hint.as_deref(), Some("did you mean `trash`?"));

    let (_, text, hint) = refused("\ndefault-poll = \"x\"");
    assert_eq!(text, "`berth.toml` line 2: unknown key `default-poll`");
    assert_eq!(hint.as_deref(), Some("did you mean `default-pool`?"));

    let (_, text, hint) = refused("[pools.fast]\nbackend = \"vfs\"\ndevcie = \"/dev/sdb\"");
    assert_eq!(text, "`berth.toml` line 3: unknown key `pools.fast.devcie`");
    assert_eq!(hint.as_deref(), Some("did you mean `device`?"));

    let (_, text, hint) = refused("[pools.fast]\nbakcend = \"vfs\"");
    assert_eq!(text, "`berth.toml` line 2: unknown key `pools.fast.bakcend`");
    assert_eq!(hint.as_deref(), Some("did you mean `backend`?"));
}

#[test]
fn what_is_in_the_contract_but_not_built_is_unsupported() {
    let pool = "[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\n";
    for text in [
        "metrics-listen = \"127.0.0.1:9000\"".to_owned(),
        "[cluster]\netcd = [\"https://10.0.0.1:2379\"]".to_owned(),
        "[pools.default]\nbackend = \"thin\"\ndevice = \"/dev/sdb\"".to_owned(),
        "[pools.default]\nbackend = \"ebs\"\n[pools.default.tags]\nteam = \"web\"".to_owned(),
        format!("{pool}fs = \"xfs\""),
    ] {
        let (kind, message, _) = refused(&text);
        assert_eq!(kind, ErrorKind::Unsupported, "{text}: {message}");
        assert!(message.contains("is not available: "), "{message}");
    }
}

#[test]
fn a_key_of_another_backend_is_refused() {
    let (kind, text, _) =
        refused("[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\nserver = \"10.0.0.5\"");
    assert_eq!(kind, ErrorKind::Invalid);
    assert_eq!(text, "`berth.toml` line 4: `pools.default.server` is a key of backend `nfs` only");
}

#[test]
fn wrong_types_and_values_name_the_key_and_the_line() {
    let pool = "[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\n";
    for (text, expected) in [
        (
            "implicit-create = \"no\"".to_owned(),
            "`berth.toml` line 1: `implicit-create` must be `true` or `false`, not a string",
        ),
        (
            format!("{pool}trash = 24"),
            "`berth.toml` line 4: `pools.default.trash` must be a duration in quotes, \
             such as \"24h\", not an integer",
        ),
        (
            format!("{pool}trash = \"1 day\""),
            "`berth.toml` line 4: `pools.default.trash`: `1 day` is not a duration",
        ),
        (
            format!("{pool}uid = \"root\""),
            "`berth.toml` line 4: `pools.default.uid`: uid `root` is not a numeric id",
        ),
        (
            format!("{pool}mode = 0o750"),
            "`berth.toml` line 4: `pools.default.mode` must be a mode in quotes, such as \
             \"0750\", not an integer",
        ),
        (
            format!("{pool}size = 10"),
            "`berth.toml` line 4: `pools.default.size` must be a size in quotes, such as \
             \"10G\", not an integer",
        ),
        (
            format!("{pool}size = \"10K\""),
            "`berth.toml` line 4: `pools.default.size`: size `10K` is less than 1 MiB",
        ),
        ("pools = 3".to_owned(), "`berth.toml` line 1: `pools` must be a table, not an integer"),
        (
            "[pools]\ndefault = \"/srv\"".to_owned(),
            "`berth.toml` line 2: `pools.default` must be a table, not a string",
        ),
        (
            "[pools.default]\nbackend = \"vfs\"\npath = \"srv\"".to_owned(),
            "`berth.toml` line 3: `pools.default.path` is `srv`, which is not an absolute path \
             without `..`",
        ),
        (
            "[pools.default]\nbackend = \"vfs\"\npath = \"/srv/../etc\"".to_owned(),
            "`berth.toml` line 3: `pools.default.path` is `/srv/../etc`, which is not an \
             absolute path without `..`",
        ),
        (
            "[pools.default]\nbackend = \"vfs\"".to_owned(),
            "`berth.toml` line 1: `pools.default.path` is missing",
        ),
        (
            "[pools.default]\npath = \"/p\"".to_owned(),
            "`berth.toml` line 1: `pools.default.backend` is missing",
        ),
        (
            "\n[pools.\"a/b\"]\nbackend = \"vfs\"".to_owned(),
            "`berth.toml` line 2: pool name `a/b` is not allowed",
        ),
    ] {
        let (kind, message, _) = refused(&text);
        assert_eq!(message, expected);
        assert_eq!(kind, ErrorKind::Invalid);
    }
}

#[test]
fn hooks_are_lists_or_texts_for_the_shell() {
    let (config, _) = parse(
        "docker-socket = \"/run//d.sock\"\n[hooks.postgres]\nbefore = [\"/usr/bin/x\", \"a b\"]\n\
         after = \"x | y\"\ntimeout = \"2m\"\n[hooks.flush]\nbefore = [\"sync\"]\n",
    )
    .expect("valid");
    let hook = &config.hooks["postgres"];
    assert_eq!(hook.before.as_deref(), Some(&["/usr/bin/x".to_owned(), "a b".to_owned()][..]));
    let shell = ["/bin/sh", "-c", "x | y"].map(ToOwned::to_owned);
    assert_eq!(hook.after.as_deref(), Some(&shell[..]));
    assert_eq!(hook.timeout, Duration::from_secs(120));
    let flush = &config.hooks["flush"];
    assert_eq!((flush.after.as_ref(), flush.timeout), (None, Duration::from_secs(30)));
    assert_eq!(config.docker_socket.as_deref(), Some(Path::new("/run/d.sock")));
    assert_eq!(Config::builtin(Path::new("/r")).docker_socket, None);
}

#[test]
fn wrong_hooks_name_the_key_and_the_line() {
    for (text, expected) in [
        (
            "[hooks.pause]\nbefore = \"x\"",
            "line 1: hook name `pause` is taken by the built-in hook",
        ),
        ("[hooks.\"a b\"]\nbefore = \"x\"", "line 1: hook name `a b` is not allowed"),
        ("[hooks.a]\ntimeout = \"5s\"", "line 1: `hooks.a.before` does nothing"),
        ("[hooks.a]\nbefore = []", "line 2: `hooks.a.before` is empty"),
        ("[hooks.a]\nbefore = [\"\", \"x\"]", "line 2: `hooks.a.before` is empty"),
        ("[hooks.a]\nafter = \"  \"", "line 2: `hooks.a.after` is empty"),
        ("[hooks.a]\nafter = [\"x\", \"\\u0000\"]", "line 2: `hooks.a.after` has a NUL in it"),
        (
            "[hooks.a]\nbefore = [\"x\", 3]",
            "line 2: `hooks.a.before` must be a list of texts (program and arguments) or a text for \
             the shell, not an array",
        ),
        (
            "[hooks.a]\nbefore = \"x\"\ntimeout = \"0s\"",
            "line 3: `hooks.a.timeout` must be between 1s and 10m",
        ),
        (
            "[hooks.a]\nbefore = \"x\"\ntimeout = \"11m\"",
            "line 3: `hooks.a.timeout` must be between 1s and 10m",
        ),
    ] {
        let (kind, message, _) = refused(text);
        assert_eq!(message, format!("`berth.toml` {expected}"));
        assert_eq!(kind, ErrorKind::Invalid);
    }
    let (_, _, hint) = refused("[hooks.a]\nbefor = \"x\"");
    assert_eq!(hint.as_deref(), Some("did you mean `before`?"));
}

#[test]
fn two_pools_in_one_place_are_refused() {
    let (_, text, _) = refused(
        "[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\n[pools.other]\nbackend = \"vfs\"\n\
         path = \"/p/\"",
    );
    assert_eq!(text, "`berth.toml` line 6: pools `default` and `other` have the same path `/p`");
}

#[test]
fn the_default_pool_must_be_there() {
    let (_, text, hint) = refused("[pools.fast]\nbackend = \"vfs\"\npath = \"/p\"");
    assert_eq!(text, "`berth.toml` line 1: the default pool `default` is not configured");
    assert_eq!(hint.as_deref(), Some("add [pools.default], or set `default-pool` to one of: fast"));
    let (_, text, hint) =
        refused("default-pool = \"fsat\"\n[pools.fast]\nbackend = \"vfs\"\npath = \"/p\"");
    assert_eq!(text, "`berth.toml` line 1: the default pool `fsat` is not configured");
    assert_eq!(hint.as_deref(), Some("did you mean `fast`?"));
}

#[test]
fn broken_toml_names_the_line() {
    let (kind, text, _) = refused("default-pool = \"x\"\n[pools\n");
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.starts_with("`berth.toml` line 2: "), "{text}");
    let (_, text, _) = refused("default-pool = \"x\"\ndefault-pool = \"y\"\n");
    assert!(text.starts_with("`berth.toml` line 2: duplicate key"), "{text}");
}

#[test]
fn only_the_usual_file_may_be_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let over = |config: PathBuf| Overrides { config: Some(config), ..Overrides::default() };
    let error = Config::load(&over(folder.path().join("none.toml"))).expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = Config::load(&over(folder.path().to_owned())).expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let file = folder.path().join("berth.toml");
    fs::write(&file, b"\xff").expect("written");
    let error = Config::load(&over(file)).expect_err("not UTF-8");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn what_is_said_outside_wins_over_the_file() {
    let over = Overrides { root: Some("/from/flag".into()), managed: true, ..Overrides::default() };
    let text = "root = \"/from/file\"\nrun = \"/run/file\"";
    let (config, paths) = Config::parse(Path::new("berth.toml"), text, &over).expect("valid");
    assert_eq!(paths.root, Path::new("/from/flag"));
    assert_eq!(paths.run, Path::new("/run/file"));
    assert_eq!(paths.control_socket, Path::new("/run/file/berth.sock"));
    assert_eq!(paths.plugin_socket, Path::new("/run/docker/plugins/berth.sock"));
    assert_eq!(paths.mounts, Path::new("/var/lib/berth-mounts"));
    assert_eq!(config.pools["default"].path, Path::new("/from/flag/pools/default"));
}

#[test]
fn one_socket_is_not_two() {
    let over = Overrides {
        control_socket: Some("/run/docker/plugins/berth.sock".into()),
        ..Overrides::default()
    };
    let error = Config::parse(Path::new("berth.toml"), "", &over).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[cfg(feature = "testing")]
#[test]
fn the_fake_backend_gets_what_else_is_there() {
    let (config, _) = parse(
        "[pools.default]\nbackend = \"fake\"\npath = \"/p\"\ntrash = \"0s\"\nlies = true\nwait = 3",
    )
    .expect("valid");
    let pool = &config.pools["default"];
    assert_eq!(pool.trash, Duration::ZERO);
    assert_eq!(pool.extra["lies"], "true");
    assert_eq!(pool.extra["wait"], "3");
    assert_eq!(pool.extra.len(), 2);
}

#[cfg(not(feature = "testing"))]
#[test]
fn the_fake_backend_is_no_backend_for_users() {
    let (kind, _, _) = refused("[pools.default]\nbackend = \"fake\"\npath = \"/p\"");
    assert_eq!(kind, ErrorKind::Invalid);
}

#[test]
fn an_image_has_a_size_and_is_mounted_below_the_root_unless_told_otherwise() {
    let image = "[pools.default]\nbackend = \"vfs\"\nfile = \"/srv//berth.img\"\nsize = \"100G\"\n";
    let (config, _) = parse(&format!("root = \"/r\"\n{image}")).expect("valid");
    let pool = &config.pools["default"];
    let expected = ImageConfig { file: "/srv/berth.img".into(), size: Some(Bytes(100 << 30)) };
    assert_eq!(pool.image, Some(expected));
    assert_eq!(pool.path, Path::new("/r/images/default"));
    let (config, _) = parse(&format!("{image}path = \"/mnt/berth\"")).expect("valid");
    assert_eq!(config.pools["default"].path, Path::new("/mnt/berth"));
}

#[test]
fn images_lie_in_no_pool_and_hide_none() {
    let pool = |name: &str, keys: &str| format!("[pools.{name}]\nbackend = \"vfs\"\n{keys}\n");
    for (keys, other, expected) in [
        ("file = \"f\"", "", "not an absolute path"),
        ("file = \"/\"", "", "is no name of a file"),
        ("file = \"/f\"\nsize = \"huge\"", "", "`huge` is not a size"),
        ("file = \"/p/f\"\npath = \"/p\"", "", "below the place where it is mounted"),
        ("file = \"/f\"", "file = \"/f\"", "have the same image `/f`"),
        ("path = \"/p\"", "file = \"/p/f\"", "lies in the pool `default`"),
        ("file = \"/p/f\"", "path = \"/p\"", "lies in the pool `other`"),
        ("path = \"/p\"", "file = \"/f\"\npath = \"/p/q\"", "`other` lies in the pool `default`"),
        ("file = \"/f\"\npath = \"/p\"", "path = \"/p/q\"", "`other` lies in the pool `default`"),
    ] {
        let mut text = pool("default", keys);
        if !other.is_empty() {
            text += &pool("other", other);
        }
        let (kind, message, _) = refused(&text);
        assert_eq!(kind, ErrorKind::Invalid, "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn a_label_is_checked_for_its_form() {
    let pool = "[pools.default]\nbackend = \"vfs\"\npath = \"/p\"\n";
    let text = "system_u:object_r:container_file_t:s0:c1,c2";
    let (config, _) = parse(&format!("{pool}selinux-context = \"{text}\"")).expect("valid");
    assert_eq!(config.pools["default"].label.as_ref().expect("given").as_str(), text);
    let (kind, message, hint) = refused(&format!("{pool}selinux-context = \"container_file_t\""));
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(message.contains("line 4: `pools.default.selinux-context`: "), "{message}");
    assert!(hint.expect("a hint").contains("user:role:type:level"));
}
