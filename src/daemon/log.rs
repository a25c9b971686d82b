//! Where the daemon's log goes: lines on stderr, for a terminal or a journal.

use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
};

use berth_api::{Error, Result};
use tracing_subscriber::EnvFilter;

/// Begins to log. `BERTH_LOG` is the filter; `info` without it.
pub(super) fn start() -> Result<()> {
    let filter = match env::var("BERTH_LOG") {
        Ok(text) if !text.is_empty() => filter(&text)?,
        _ => EnvFilter::new("info"),
    };
    let color = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color)
        .try_init();
    if let Err(source) = logging {
        return Err(Error::internal("start the log").with_source(source));
    }
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, "panicked: {message}");
    }));
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter> {
    EnvFilter::builder().parse(text).map_err(|source| {
        Error::invalid(format!("BERTH_LOG `{}` is not a log filter", text.escape_debug()))
            .with_source(source)
            .with_hint("write a level, or `berth=debug,info`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked() {
        for text in ["debug", "berth=trace,info", "off"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        let error = filter("berth=loud").expect_err("no such level");
        assert_eq!(error.kind(), berth_api::ErrorKind::Invalid);
    }
}
