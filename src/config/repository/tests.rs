use std::path::{Path, PathBuf};

use berth_api::{Bytes, ErrorKind};

use super::{
    super::{Config, Overrides},
    Place, RepositoryConfig, S3Config,
};

fn parse(text: &str) -> berth_api::Result<Config> {
    Config::parse(Path::new("berth.toml"), text, &Overrides::default()).map(|(config, _)| config)
}

/// One repository `far` with these keys.
fn far(keys: &str) -> berth_api::Result<RepositoryConfig> {
    parse(&format!("root = \"/r\"\n[repositories.far]\n{keys}"))
        .map(|config| config.repositories["far"].clone())
}

fn s3(bucket: &str, prefix: &str) -> S3Config {
    S3Config {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: None,
        region: None,
        profile: None,
        path_style: None,
    }
}

#[test]
fn no_file_is_one_repository_below_the_root() {
    for config in [Config::builtin(Path::new("/r")), parse("root = \"/r\"").expect("valid")] {
        assert_eq!(config.repositories.len(), 1);
        let repository = &config.repositories["default"];
        assert_eq!(repository.place, Place::Directory("/r/repositories/default".into()));
        assert_eq!(repository.password_file, Path::new("/r/repositories/default.key"));
        assert!(repository.builtin);
    }
}

#[test]
fn a_place_is_a_path_or_a_bucket() {
    let directory = |path: &str| Place::Directory(PathBuf::from(path));
    for (url, place, shown) in [
        ("/srv//backups/", directory("/srv/backups"), "/srv/backups"),
        ("file:///srv/backups", directory("/srv/backups"), "/srv/backups"),
        ("/srv/a@b", directory("/srv/a@b"), "/srv/a@b"),
        ("s3://bucket", Place::S3(s3("bucket", "")), "s3://bucket"),
        ("s3://my.bucket/", Place::S3(s3("my.bucket", "")), "s3://my.bucket"),
        ("s3://bucket/a/b/", Place::S3(s3("bucket", "a/b")), "s3://bucket/a/b"),
    ] {
        let repository = far(&format!("url = \"{url}\"")).expect(url);
        assert_eq!(repository.place, place, "{url}");
        assert_eq!(repository.url(), shown);
        assert_eq!(repository.password_file, Path::new("/r/repositories/far.key"));
        assert!(!repository.builtin);
    }
}

#[test]
fn everything_that_a_repository_can_be_told() {
    let repository = far("url = \"s3://bucket/a\"\nendpoint = \"https://s3.example.org:9000/\"\n\
         region = \"eu-west-1\"\ncredentials-profile = \"backup\"\npath-style = false\n\
         password-file = \"/etc/berth/repository.key\"\nlimit-upload = \"10MiB\"\n\
         limit-download = \"1G\"\n")
    .expect("valid");
    let expected = S3Config {
        endpoint: Some("https://s3.example.org:9000".to_owned()),
        region: Some("eu-west-1".to_owned()),
        profile: Some("backup".to_owned()),
        path_style: Some(false),
        ..s3("bucket", "a")
    };
    assert_eq!(repository.place, Place::S3(expected));
    assert_eq!(repository.password_file, Path::new("/etc/berth/repository.key"));
    assert_eq!(repository.limit_upload, Some(Bytes(10 << 20)));
    assert_eq!(repository.limit_download, Some(Bytes(1 << 30)));
}

#[test]
fn what_is_wrong_names_the_key_and_the_line() {
    for (keys, expected) in [
        ("", "line 2: `repositories.far.url` is missing"),
        ("url = 3", "line 3: `repositories.far.url` must be a text in quotes, not an integer"),
        ("urll = \"/b\"", "line 3: unknown key `repositories.far.urll`"),
        ("url = \"b\"", "line 3: `repositories.far.url`: `b` is no place for a repository"),
        ("url = \"/\"", "line 3: `repositories.far.url`: `/` is no place for a repository"),
        (
            "url = \"/b/../c\"",
            "line 3: `repositories.far.url`: `/b/../c` is no place for a repository",
        ),
        (
            "url = \"s3:bucket\"",
            "line 3: `repositories.far.url`: `s3:bucket` is no place for a repository",
        ),
        ("url = \"s3://b\"", "line 3: `repositories.far.url`: `s3://b` has no name of a bucket"),
        (
            "url = \"s3://h:90/b\"",
            "line 3: `repositories.far.url`: `s3://h:90/b` has no name of a bucket",
        ),
        (
            "url = \"s3://bucket/a//b\"",
            "line 3: `repositories.far.url`: `s3://bucket/a//b` has no plain path",
        ),
        (
            "url = \"s3://bucket/../b\"",
            "line 3: `repositories.far.url`: `s3://bucket/../b` has no plain path",
        ),
        (
            "url = \"/b\"\nregion = \"x\"",
            "line 4: `repositories.far.region` is for urls `s3://…` only",
        ),
        (
            "url = \"s3://bucket\"\nendpoint = \"host:9000\"",
            "line 4: `repositories.far.endpoint`: `host:9000` is no endpoint",
        ),
        (
            "url = \"s3://bucket\"\nendpoint = \"https://host/bucket\"",
            "line 4: `repositories.far.endpoint`: `https://host/bucket` is no endpoint",
        ),
        (
            "url = \"s3://bucket\"\nregion = \"\"",
            "line 4: `repositories.far.region` is ``, which is no name",
        ),
        (
            "url = \"/b\"\nlimit-upload = 10",
            "line 4: `repositories.far.limit-upload` must be a size in quotes, such as \"10MiB\" \
             (a second), not an integer",
        ),
        (
            "url = \"/b\"\nlimit-upload = \"0\"",
            "line 4: `repositories.far.limit-upload` is less than 16 KiB a second",
        ),
        (
            "url = \"/b\"\nlimit-download = \"fast\"",
            "line 4: `repositories.far.limit-download`: `fast` is not a size",
        ),
    ] {
        let error = far(keys).expect_err(keys);
        assert_eq!(error.chain(), format!("`berth.toml` {expected}"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let error = far("url = \"/b\"\npasword-file = \"/k\"").expect_err("misspelt");
    assert_eq!(error.hint(), Some("did you mean `password-file`?"));
    let error = parse("[repositories.\"a/b\"]\nurl = \"/b\"").expect_err("no name");
    assert_eq!(error.chain(), "`berth.toml` line 1: repository name `a/b` is not allowed");
}

#[test]
fn secrets_in_a_url_are_refused_and_not_shown() {
    for keys in [
        "url = \"s3://AKIA:hunter2@bucket/a\"",
        "url = \"s3://AKIA:hun/ter2@bucket/a\"",
        "url = \"s3://AKIA@bucket/hunter2\"",
        "url = \"https://me:hunter2@host/bucket\"",
        "url = \"s3://bucket\"\nendpoint = \"https://me:hunter2@host\"",
    ] {
        let error = far(keys).expect_err(keys);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains("has a user or a password in it"), "{error:?}");
        assert!(!error.chain().contains("ter2"), "{error:?}");
        assert!(error.hint().expect("a hint").contains("credentials-profile"));
    }
}
