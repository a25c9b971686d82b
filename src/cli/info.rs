//! `berth info`

use berth_api::Result;

use super::{
    render::{Block, duration},
    session::{Session, Status},
};
use crate::view::Info;

pub(super) fn run(session: &mut Session<'_>) -> Result<Status> {
    let info: Info = session.client.get("/v1/info")?;
    if session.output.json {
        session.output.json(&info)?;
    } else {
        session.output.data(&block(&info).text())?;
    }
    Ok(Status::OK)
}

fn block(info: &Info) -> Block {
    let mut block = Block::default();
    block.line("version", &info.version);
    block.line("state", &info.state);
    block.some("reason", info.reason.as_ref());
    block.line("host", &info.host);
    block.some("host id", info.host_id.map(|id| id.to_string()));
    block.line("root", &info.root);
    block.line("plugin socket", &info.plugin_socket);
    block.line("configuration", info.config.as_deref().unwrap_or("none, built-in defaults"));
    block.line("installation", &info.installation);
    block.line("scope", &info.scope);
    block.line("default pool", &info.default_pool);
    block.line("pools", info.pools.to_string());
    block.line("volumes", format!("{}, {} mounted", info.volumes, info.mounted));
    block.line("jobs", info.jobs.to_string());
    block.line("up for", duration(info.uptime));
    block
}
