//! One `[policies.NAME]` of the file: when to snapshot and to back up, and what to keep.

use std::collections::BTreeMap;

use berth_api::{ErrorKind, PolicyName, Result, options::nearest};
use berth_vault::retention::Keep;

use super::{
    DEFAULT, PoolConfig, RepositoryConfig,
    section::{Key, Section},
};
use crate::policy::Schedule;

const KEYS: [(&str, Key); 5] = [
    ("snapshot", Key::Known),
    ("backup", Key::Known),
    ("repository", Key::Known),
    ("keep-snapshots", Key::Known),
    ("keep-backups", Key::Known),
];

/// The rules of `keep-snapshots` and `keep-backups`.
const RULES: [(&str, Key); 6] = [
    ("last", Key::Known),
    ("hourly", Key::Known),
    ("daily", Key::Known),
    ("weekly", Key::Known),
    ("monthly", Key::Known),
    ("yearly", Key::Known),
];

/// What belongs to one of the schedules.
const WITH: [(&str, &str); 3] =
    [("keep-snapshots", "snapshot"), ("keep-backups", "backup"), ("repository", "backup")];

/// One `[policies.NAME]`; at least one of its schedules is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// When snapshots are taken.
    pub snapshot: Option<Schedule>,
    /// When backups are made.
    pub backup: Option<Schedule>,
    /// Where they go, by its name in the configuration; `default`, or the only one there
    /// is, unless told otherwise. One of the two is there if `backup` is.
    pub repository: Option<String>,
    /// Which of its snapshots stay; all, if it has no rule.
    pub keep_snapshots: Keep,
    /// Which of its backups stay; all, if it has no rule.
    pub keep_backups: Keep,
}

/// Reads all policies; what they name must be among `repositories`.
pub(super) fn read(
    top: &Section<'_>,
    repositories: &BTreeMap<String, RepositoryConfig>,
) -> Result<BTreeMap<PolicyName, PolicyConfig>> {
    let mut policies = BTreeMap::new();
    for (name, section) in top.children("policies")? {
        let Ok(known) = name.parse::<PolicyName>() else {
            let shown: String = name.chars().take(80).collect();
            let text = format!("policy name `{}` is not allowed", shown.escape_debug());
            return Err(section.error(ErrorKind::Invalid, &text).with_hint(format!(
                "use letters, digits, `_`, `.` and `-`, beginning with a letter or a digit; \
                 {} at most",
                PolicyName::MAX
            )));
        };
        policies.insert(known, read_one(&section, repositories)?);
    }
    Ok(policies)
}

/// Refuses a pool whose volumes would have a policy that there is not.
pub(super) fn check_pools(
    top: &Section<'_>,
    pools: &BTreeMap<String, PoolConfig>,
    policies: &BTreeMap<PolicyName, PolicyConfig>,
) -> Result<()> {
    for (name, section) in top.children("pools")? {
        let wanted = pools.get(name).into_iter().flat_map(|pool| &pool.defaults.policy);
        for policy in wanted {
            if !policies.contains_key(policy) {
                let text =
                    format!("`{}` is `{policy}`, which is not configured", section.full("policy"));
                let error = section.error_at("policy", ErrorKind::Invalid, &text);
                let names = policies.keys().map(PolicyName::as_str);
                return Err(match nearest(policy.as_str(), names) {
                    Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                    None => error.with_hint(format!("add [policies.{policy}]")),
                });
            }
        }
    }
    Ok(())
}

fn read_one(
    section: &Section<'_>,
    repositories: &BTreeMap<String, RepositoryConfig>,
) -> Result<PolicyConfig> {
    section.check(&KEYS)?;
    let (snapshot, backup) = (schedule(section, "snapshot")?, schedule(section, "backup")?);
    if snapshot.is_none() && backup.is_none() {
        let text = format!("`{}` is missing", section.full("snapshot"));
        return Err(section
            .error(ErrorKind::Invalid, &text)
            .with_hint("give it `snapshot = \"0 * * * *\"`, `backup = \"30 2 * * *\"`, or both"));
    }
    for (key, of) in WITH {
        if section.has(key) && !section.has(of) {
            let text = format!("`{}` is for policies with `{of}`", section.full(key));
            return Err(section.error_at(key, ErrorKind::Invalid, &text));
        }
    }
    let repository = section.string("repository")?;
    match repository {
        Some(name) if !repositories.contains_key(name) => {
            let shown: String = name.chars().take(40).collect();
            let text = format!(
                "`{}` is `{}`, which is not configured",
                section.full("repository"),
                shown.escape_debug()
            );
            let error = section.error_at("repository", ErrorKind::Invalid, &text);
            return Err(match nearest(name, repositories.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(format!("there are: {}", names(repositories))),
            });
        }
        None if backup.is_some()
            && repositories.len() != 1
            && !repositories.contains_key(DEFAULT) =>
        {
            let text = format!("`{}` is missing", section.full("repository"));
            return Err(section.error(ErrorKind::Invalid, &text).with_hint(format!(
                "none is called `{DEFAULT}`; there are: {}",
                names(repositories)
            )));
        }
        _ => {}
    }
    Ok(PolicyConfig {
        snapshot,
        backup,
        repository: repository.map(ToOwned::to_owned),
        keep_snapshots: keep(section, "keep-snapshots")?,
        keep_backups: keep(section, "keep-backups")?,
    })
}

fn schedule(section: &Section<'_>, key: &str) -> Result<Option<Schedule>> {
    let what = "a cron text in quotes, such as \"30 2 * * *\"";
    let Some(text) = section.text(key, what)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| section.explain(key, &error))
}

fn keep(section: &Section<'_>, key: &str) -> Result<Keep> {
    let what = "a table of rules, such as { daily = 7, weekly = 5 }";
    let Some(rules) = section.table(key, what)? else { return Ok(Keep::default()) };
    rules.check(&RULES)?;
    let count = |rule| Ok::<_, berth_api::Error>(rules.count(rule)?.unwrap_or(0));
    Ok(Keep {
        last: count("last")?,
        hourly: count("hourly")?,
        daily: count("daily")?,
        weekly: count("weekly")?,
        monthly: count("monthly")?,
        yearly: count("yearly")?,
    })
}

fn names(repositories: &BTreeMap<String, RepositoryConfig>) -> String {
    repositories.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
