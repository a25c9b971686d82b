//! The two streams: data on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use berth_api::{Context, Error, Result};
use serde::Serialize;

use crate::view::ErrorBody;

/// Where a command writes.
#[derive(Debug)]
pub(in crate::cli) struct Output {
    /// For scripts: JSON, also of errors.
    pub(in crate::cli) json: bool,
    /// The reader of stdout has gone (`| head`): what is left to say is not
    /// said, what is left to do is done.
    closed: bool,
}

impl Output {
    pub(in crate::cli) fn new(json: bool) -> Self {
        Self { json, closed: false }
    }

    /// Whether someone watches stderr, and wants to see it move.
    pub(in crate::cli) fn animated(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !self.json && !dumb && io::stderr().is_terminal()
    }

    /// Writes data.
    pub(in crate::cli) fn data(&mut self, text: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.context(|| "write to stdout"),
        }
    }

    /// Writes one line of data.
    pub(in crate::cli) fn line(&mut self, text: &str) -> Result<()> {
        self.data(&format!("{text}\n"))
    }

    /// Writes data as JSON.
    pub(in crate::cli) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::internal("write JSON").with_source(error))?;
        self.line(&text)
    }

    /// Says something to the person at the terminal; scripts do not hear it.
    pub(in crate::cli) fn note(&self, text: &str) {
        if !self.json {
            complain(text);
        }
    }

    /// Reports an error: with its causes and its hint, once.
    pub(in crate::cli) fn error(&self, error: &Error) {
        if self.json {
            let body = serde_json::to_string(&ErrorBody::from(error));
            complain(&body.expect("texts and a kind always serialise"));
            return;
        }
        let colour = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (red, bold, off) =
            if colour { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        complain(&format!("{red}error:{off} {}", super::plain(&error.chain())));
        if let Some(hint) = error.hint() {
            complain(&format!("{bold}hint:{off} {}", super::plain(hint)));
        }
    }
}

/// Writes a line to stderr. If nobody reads that either, there is nobody left to
/// tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
