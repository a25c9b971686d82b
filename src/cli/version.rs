//! `berth version`

use berth_api::Result;

use super::{render::Output, session::Status};

pub(super) fn run(output: &mut Output) -> Result<Status> {
    let version = env!("CARGO_PKG_VERSION");
    if output.json {
        output.json(&serde_json::json!({ "version": version }))?;
    } else {
        output.line(&format!("berth {version}"))?;
    }
    Ok(Status::OK)
}
