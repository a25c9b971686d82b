//! Whether volumes of a pool can be limited, and whether their limits hold.

use std::time::Duration;

use berth_api::{Bytes, Error, ErrorKind, Op, Result, Usage};

use super::{Engine, doctor::finding, pool::Pool, volume::Life};
use crate::{
    catalog::{Record, State},
    view::{Finding, Severity},
};

/// How long a pool may take to say whether it limits.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much larger than asked for a limit may be: it is kept in whole blocks.
const ROUNDING: u64 = 1 << 20;

/// Whether volumes of a pool can be limited, as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Limits {
    /// It was not seen yet, or could not be told.
    #[default]
    Unknown,
    /// They can.
    Enforced,
    /// They cannot.
    None {
        /// Why not.
        reason: String,
        /// What would help.
        hint: Option<String>,
    },
}

impl Pool {
    /// Whether volumes can be limited: looks now, and remembers.
    ///
    /// # Errors
    /// `Unsupported` with the reason and what would help; `Unavailable`.
    pub(super) async fn can_limit(&self) -> Result<()> {
        let none = || Err(Error::unsupported("`size` is not available: this pool has no limits"));
        let result = if self.measures() {
            self.run(Op::new(PATIENCE), move |backend, op| {
                backend.resize().map_or_else(none, |resize| resize.can_limit(op))
            })
            .await
        } else {
            none()
        };
        self.gauge.learn(match &result {
            Ok(()) => Limits::Enforced,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                Limits::None { reason: error.chain(), hint: error.hint().map(ToOwned::to_owned) }
            }
            Err(_) => Limits::Unknown,
        });
        result
    }

    /// Whether volumes can be limited, as last seen.
    pub(super) fn has_limits(&self) -> bool {
        self.gauge.limits() == Limits::Enforced
    }

    /// The limits that are in force for these, where that can be told.
    async fn limits_of(&self, records: Vec<Record>) -> Vec<(Record, Usage)> {
        let asked = self.run(Op::new(PATIENCE), move |backend, op| {
            let mut known = Vec::new();
            for record in records {
                op.check()?;
                let resize = backend.resize();
                if let Some(Ok(usage)) = resize.map(|resize| resize.usage(op, &record.handle)) {
                    known.push((record, usage));
                }
            }
            Ok(known)
        });
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(known)) => known,
            _ => Vec::new(),
        }
    }
}

impl Engine {
    /// Whether `volume resize` can work, as last seen.
    pub(super) fn can_resize(&self, record: &Record) -> bool {
        let pool = self.pools.get(&record.pool);
        pool.is_some_and(|pool| pool.has_limits())
    }

    /// What the doctor says of limits in a pool that is ready.
    pub(super) async fn diagnose_limits(&self, pool: &Pool) -> Vec<Finding> {
        if pool.stuck() > 0 {
            return Vec::new();
        }
        let _ = tokio::time::timeout(PATIENCE, pool.can_limit()).await;
        let subject = format!("pool `{}`", pool.name);
        let limited = self.limited_in(pool);
        match pool.gauge.limits() {
            Limits::Unknown => Vec::new(),
            Limits::Enforced => {
                let known = pool.limits_of(limited).await;
                known.iter().filter_map(|(record, usage)| not_in_force(record, *usage)).collect()
            }
            Limits::None { reason, hint } => {
                // The pool is the subject already.
                let reason = reason.strip_prefix(&format!("{subject}: ")).unwrap_or(&reason);
                let hint = hint.as_deref();
                let mut findings = Vec::new();
                if !limited.is_empty() {
                    let count = limited.len();
                    let of = if count == 1 { "the limit of a volume is" } else { "limits are" };
                    let text = format!("{of} not in force ({count} with `size`): {reason}");
                    findings.push(finding(Severity::Warning, subject.as_str(), text, hint));
                }
                if pool.config.defaults.size.is_some() {
                    let text = format!("volumes cannot be made with its default: {reason}");
                    findings.push(finding(Severity::Error, subject.as_str(), text, hint));
                }
                if findings.is_empty() {
                    findings.push(finding(Severity::Ok, subject, reason.to_owned(), hint));
                }
                findings
            }
        }
    }

    /// The live volumes of the pool that have a limit.
    fn limited_in(&self, pool: &Pool) -> Vec<Record> {
        let limited = |life: &Life| {
            (life.record.pool == pool.name
                && life.record.options.size.is_some()
                && life.record.state == State::Ready)
                .then(|| life.record.clone())
        };
        let mut records = Vec::new();
        self.index.for_each_live(|_, volume| records.extend(volume.read(limited)));
        records
    }
}

/// Says that a limit is not in force, if it is not.
fn not_in_force(record: &Record, usage: Usage) -> Option<Finding> {
    let wanted = record.options.size?;
    let holds =
        usage.limit.is_some_and(|Bytes(limit)| limit >= wanted.0 && limit - wanted.0 < ROUNDING);
    let name = &record.name;
    (!holds).then(|| {
        finding(
            Severity::Warning,
            format!("volume `{name}`"),
            format!("its limit of {wanted} is not in force"),
            Some(&format!("berth volume resize {name} {}", wanted.exact())),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_api::{Handle, Layout, Options, VolumeId};

    use super::*;

    #[test]
    fn a_limit_holds_if_the_storage_has_it() {
        let record = Record {
            id: VolumeId::random(),
            name: "db".parse().expect("a name"),
            pool: "default".to_owned(),
            pool_id: None,
            backend: "vfs".to_owned(),
            handle: Handle(serde_json::Value::Null),
            layout: Layout::Subdirectory,
            created: jiff::Timestamp::UNIX_EPOCH,
            given: BTreeMap::new(),
            options: Options { size: Some(Bytes((10 << 30) + 1)), ..Options::default() },
            state: State::Ready,
            unsettled: false,
            snapshots: Vec::new(),
            origin: None,
            rollback: None,
        };
        let limit = |limit| not_in_force(&record, Usage { used: None, limit });
        assert!(limit(Some(Bytes((10 << 30) + (64 << 10)))).is_none(), "rounded up");
        for wrong in [None, Some(Bytes(10 << 30)), Some(Bytes(11 << 30))] {
            let finding = limit(wrong).expect("not in force");
            assert_eq!(finding.hint.as_deref(), Some("berth volume resize db 10737418241B"));
        }
    }
}
