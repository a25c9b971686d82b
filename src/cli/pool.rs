//! `berth pool`

use berth_api::{Bytes, Result};
use clap::{Subcommand, builder::NonEmptyStringValueParser};

use super::{
    client::path,
    job,
    render::{Block, Column, NOTHING, Table, exactly, size},
    session::{Session, Status},
    unsupported,
};
use crate::view::{Grow, Grown, JobView, PoolView, Rebuild};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) enum Command {
    /// List pools
    Ls,
    /// Show all that is known of pools
    Inspect {
        /// Which pools; all without
        #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },
    /// Make a pool on an image larger, while it is used
    ///
    /// Without a size: as large as the configuration says. Raise `size` there too,
    /// so that it says what is so.
    Grow {
        /// Which pool
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// How large, such as 200G
        size: Option<Bytes>,
    },
    /// Check and repair a pool's own records (not built yet)
    Repair {
        /// Which pool
        name: Option<String>,
    },
    /// Make lost records from what the volumes say of themselves
    Rebuild {
        /// Which pool; all without
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// The pool was another host's, which is gone: make it this one's
        #[arg(long)]
        take_over: bool,
        /// Print the job's id and do not wait
        #[arg(long)]
        detach: bool,
    },
}

pub(super) fn run(session: &mut Session<'_>, command: Command) -> Result<Status> {
    match command {
        Command::Ls => list(session),
        Command::Inspect { names } => inspect(session, &names),
        Command::Grow { name, size } => grow(session, &name, size),
        Command::Repair { .. } => {
            Err(unsupported("pool repair", "pools with records of their own are"))
        }
        Command::Rebuild { name, take_over, detach } => {
            rebuild(session, name.as_deref(), take_over, detach)
        }
    }
}

fn list(session: &mut Session<'_>) -> Result<Status> {
    let pools: Vec<PoolView> = session.client.get("/v1/pools")?;
    if session.output.json {
        session.output.json(&pools)?;
        return Ok(Status::OK);
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("BACKEND"),
        Column::Left("STATE"),
        Column::Right("VOLUMES"),
        Column::Right("REMOVED"),
        Column::Right("FREE"),
        Column::Right("TOTAL"),
        Column::Left("PATH"),
    ]);
    for pool in &pools {
        table.row(&[
            if pool.default { format!("{} *", pool.name) } else { pool.name.clone() },
            pool.backend.clone(),
            pool.state.clone(),
            pool.volumes.to_string(),
            pool.removed.to_string(),
            size(pool.free),
            size(pool.total),
            or_nothing(&pool.path),
        ]);
    }
    session.output.data(&table.text())?;
    Ok(Status::OK)
}

fn inspect(session: &mut Session<'_>, names: &[String]) -> Result<Status> {
    let (pools, status) = if names.is_empty() {
        (session.client.get::<Vec<PoolView>>("/v1/pools")?, Status::OK)
    } else {
        session.each(names, |session, name| session.client.get(&path(["pools", name])))
    };
    if session.output.json {
        session.output.json(&pools)?;
    } else {
        let blocks: Vec<_> = pools.iter().map(|pool| block(pool).text()).collect();
        session.output.data(&blocks.join("\n"))?;
    }
    Ok(status)
}

fn block(pool: &PoolView) -> Block {
    let mut block = Block::default();
    block.line("name", &pool.name);
    block.line("id", pool.id.map_or_else(|| "unknown".to_owned(), |id| id.to_string()));
    block.line("backend", &pool.backend);
    block.line("path", or_nothing(&pool.path));
    block.line("default", if pool.default { "yes" } else { "no" });
    block.line("state", &pool.state);
    block.some("reason", pool.reason.as_ref());
    block.line("shared", if pool.shared { "yes" } else { "no" });
    block.line("volumes", pool.volumes.to_string());
    block.line("removed", pool.removed.to_string());
    block.line("free", size(pool.free));
    block.line("total", size(pool.total));
    // What a pool is set to is known only while it is configured.
    if pool.state != "unconfigured" {
        block.line("trash", exactly(pool.trash));
    }
    for (name, value) in &pool.details {
        block.line(name, value.to_string());
    }
    if let Some(silent) = pool.silent {
        block.line("silent for", exactly(silent));
    }
    if pool.stuck > 0 {
        block.line("stuck calls", pool.stuck.to_string());
    }
    block.line("can", pool.capabilities.join(", "));
    block
}

fn grow(session: &mut Session<'_>, name: &str, size: Option<Bytes>) -> Result<Status> {
    let grown: Grown = session.client.post(&path(["pools", name, "grow"]), &Grow { size })?;
    if session.output.json {
        session.output.json(&grown)?;
    } else {
        session.output.data(&format!("{}\n", grown.size))?;
    }
    Ok(Status::OK)
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { text.to_owned() }
}

fn rebuild(
    session: &mut Session<'_>,
    name: Option<&str>,
    take_over: bool,
    detach: bool,
) -> Result<Status> {
    let path = match name {
        Some(name) => path(["pools", name, "rebuild"]),
        None => path(["pools", "rebuild"]),
    };
    let begun: JobView = session.client.post(&path, &Rebuild { take_over })?;
    if detach {
        return job::detach(session, &begun);
    }
    let ended = job::follow(session, begun)?;
    job::outcome(session, &ended)
}
