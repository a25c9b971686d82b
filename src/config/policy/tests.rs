use std::{collections::BTreeMap, path::Path};

use berth_api::{Error, PolicyName, Result};
use berth_vault::retention::Keep;
use toml::de::DeTable;

use super::{
    super::{pool, repository, section::Source},
    PolicyConfig,
};

/// The policies of a file, its repositories and its pools.
fn read(text: &str) -> Result<BTreeMap<PolicyName, PolicyConfig>> {
    let source = Source { file: Path::new("berth.toml"), text };
    let table = DeTable::parse(text).expect("TOML");
    let (top, root) = (source.top(&table), Path::new("/r"));
    let mut repositories = repository::read(&top, root)?;
    if repositories.is_empty() {
        repositories.insert("default".to_owned(), repository::builtin("default", root));
    }
    let policies = super::read(&top, &repositories)?;
    let pools = top.children("pools")?.into_iter();
    let pools =
        pools.map(|(name, section)| Ok((name.to_owned(), pool::read(name, &section, root)?)));
    super::check_pools(&top, &pools.collect::<Result<_>>()?, &policies)?;
    Ok(policies)
}

/// The policy `p` with these keys.
fn one(keys: &str) -> Result<PolicyConfig> {
    read(&format!("[policies.p]\n{keys}")).map(|all| all[&name("p")].clone())
}

fn name(text: &str) -> PolicyName {
    text.parse().expect("a name")
}

fn told(error: &Error) -> (String, String) {
    (error.chain(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn the_example_of_the_contract() {
    let policy = one("snapshot = \"0 * * * *\"\nbackup = \"30 2 * * *\"\nrepository = \"default\"\n\
         keep-snapshots = { hourly = 24 }\nkeep-backups = { daily = 7, weekly = 5, monthly = 12 }\n")
    .expect("valid");
    assert_eq!(policy.snapshot.expect("given").to_string(), "0 * * * *");
    assert_eq!(policy.backup.expect("given").to_string(), "30 2 * * *");
    assert_eq!(policy.repository.as_deref(), Some("default"));
    assert_eq!(policy.keep_snapshots, Keep { hourly: 24, ..Keep::default() });
    let backups = Keep { daily: 7, weekly: 5, monthly: 12, ..Keep::default() };
    assert_eq!(policy.keep_backups, backups);
}

#[test]
fn one_schedule_is_enough_and_without_rules_all_stay() {
    let policy = one("snapshot = \"@daily\"").expect("valid");
    assert!(policy.backup.is_none() && policy.repository.is_none());
    assert!(policy.keep_snapshots.is_empty() && policy.keep_backups.is_empty());
    let policy = one("backup = \"@daily\"\nkeep-backups = {}").expect("valid");
    assert!(policy.snapshot.is_none() && policy.keep_backups.is_empty());
    let tables =
        "[policies.p]\nbackup = \"@daily\"\n[policies.p.keep-backups]\nlast = 3\nyearly = 1\n";
    let keep = read(tables).expect("valid")[&name("p")].keep_backups;
    assert_eq!(keep, Keep { last: 3, yearly: 1, ..Keep::default() });
    let policies = read("[policies.b]\nbackup = \"@daily\"\n[policies.ab]\nsnapshot = \"@daily\"");
    assert_eq!(policies.expect("valid").into_keys().collect::<Vec<_>>(), [name("ab"), name("b")]);
}

#[test]
fn what_is_wrong_names_the_key_and_the_line() {
    for (keys, expected, hint) in [
        ("", "line 1: `policies.p.snapshot` is missing", "snapshot = \"0 * * * *\""),
        ("repository = \"default\"", "line 1: `policies.p.snapshot` is missing", "or both"),
        (
            "snapshot = 3",
            "line 2: `policies.p.snapshot` must be a cron text in quotes, such as \"30 2 * * *\", not an integer",
            "",
        ),
        (
            "backup = \"30 24 * * *\"",
            "line 2: `policies.p.backup`: hour `24` is not between 0 and 23",
            "",
        ),
        (
            "backup = \"30 2 * *\"",
            "line 2: `policies.p.backup`: `30 2 * *` has 4 fields instead of 5",
            "minute, hour",
        ),
        (
            "backup = \"30 2 31 2 *\"",
            "line 2: `policies.p.backup`: `30 2 31 2 *` never comes",
            "no month",
        ),
        (
            "snapshott = \"@daily\"",
            "line 2: unknown key `policies.p.snapshott`",
            "did you mean `snapshot`?",
        ),
        (
            "snapshot = \"@daily\"\ntimezone = \"UTC\"",
            "line 3: unknown key `policies.p.timezone`",
            "",
        ),
        (
            "backup = \"@daily\"\nkeep-snapshots = { last = 1 }",
            "line 3: `policies.p.keep-snapshots` is for policies with `snapshot`",
            "",
        ),
        (
            "snapshot = \"@daily\"\nkeep-backups = { last = 1 }",
            "line 3: `policies.p.keep-backups` is for policies with `backup`",
            "",
        ),
        (
            "snapshot = \"@daily\"\nrepository = \"default\"",
            "line 3: `policies.p.repository` is for policies with `backup`",
            "",
        ),
        (
            "backup = \"@daily\"\nrepository = \"defualt\"",
            "line 3: `policies.p.repository` is `defualt`, which is not configured",
            "did you mean `default`?",
        ),
        (
            "backup = \"@daily\"\nrepository = \"x\"",
            "line 3: `policies.p.repository` is `x`, which is not configured",
            "there are: default",
        ),
        (
            "snapshot = \"@daily\"\nkeep-snapshots = 7",
            "line 3: `policies.p.keep-snapshots` must be a table of rules, such as { daily = 7, weekly = 5 }, not an integer",
            "",
        ),
        (
            "snapshot = \"@daily\"\nkeep-snapshots = { dayly = 7 }",
            "line 3: unknown key `policies.p.keep-snapshots.dayly`",
            "did you mean `daily`?",
        ),
        (
            "snapshot = \"@daily\"\nkeep-snapshots = { daily = 0 }",
            "line 3: `policies.p.keep-snapshots.daily` is `0`, which is not a whole number of 1 or more",
            "",
        ),
        (
            "snapshot = \"@daily\"\nkeep-snapshots = { daily = -1 }",
            "line 3: `policies.p.keep-snapshots.daily` is `-1`, which is not a whole number of 1 or more",
            "",
        ),
        (
            "snapshot = \"@daily\"\nkeep-snapshots = { daily = \"7\" }",
            "line 3: `policies.p.keep-snapshots.daily` must be a whole number of 1 or more, not a string",
            "",
        ),
    ] {
        let (text, shown) = told(&one(keys).expect_err(keys));
        assert_eq!(text, format!("`berth.toml` {expected}"));
        assert!(shown.contains(hint), "{keys}: {shown}");
    }
    let (text, _) = told(&read("[policies.\"a+b\"]\nbackup = \"@daily\"").expect_err("no name"));
    assert_eq!(text, "`berth.toml` line 1: policy name `a+b` is not allowed");
    let long = "a".repeat(65);
    let (_, hint) = told(&read(&format!("[policies.{long}]")).expect_err("no name"));
    assert!(hint.ends_with("64 at most"), "{hint}");
    let (text, _) = told(&read("[policies]\np = \"@daily\"").expect_err("no table"));
    assert_eq!(text, "`berth.toml` line 2: `policies.p` must be a table, not a string");
}

#[test]
fn a_backup_without_a_repository_goes_where_there_is_no_question() {
    let file = |names: &[&str]| {
        let sections =
            names.iter().map(|name| format!("[repositories.{name}]\nurl = \"/{name}\"\n"));
        read(&format!("{}[policies.p]\nbackup = \"@daily\"", sections.collect::<String>()))
    };
    for names in [&["far"][..], &["default", "far"]] {
        assert_eq!(file(names).expect("valid")[&name("p")].repository, None);
    }
    let (text, hint) = told(&file(&["far", "near"]).expect_err("which one?"));
    assert_eq!(text, "`berth.toml` line 5: `policies.p.repository` is missing");
    assert_eq!(hint, "none is called `default`; there are: far, near");
}

#[test]
fn a_pool_gives_its_volumes_policies_that_there_are() {
    let pool = "[policies.a]\nbackup = \"@daily\"\n[policies.ab]\nbackup = \"@daily\"\n\
        [pools.default]\nbackend = \"vfs\"\npath = \"/p\"\npolicy = ";
    read(&format!("{pool}\"ab+a\"")).expect("valid");
    let (text, hint) = told(&read(&format!("{pool}\"a+abb\"")).expect_err("unknown"));
    assert_eq!(
        text,
        "`berth.toml` line 8: `pools.default.policy` is `abb`, which is not configured"
    );
    assert_eq!(hint, "did you mean `ab`?");
    let (text, _) = told(&read(&format!("{pool}\"a+\"")).expect_err("no name"));
    assert_eq!(text, "`berth.toml` line 8: `pools.default.policy`: policy name `` is empty");
}
