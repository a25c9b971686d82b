//! One run of the command line against a daemon.

use std::path::PathBuf;

use berth_api::{Error, Result};

use super::{client::Client, render::Output};

/// Whom a command asks, and where it answers.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) client: Client,
    pub(super) output: &'a mut Output,
}

/// The exit code, where errors were already reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u8);

impl Status {
    /// All went well.
    pub(super) const OK: Self = Self(0);
    /// The command worked, and what it found is bad.
    pub(super) const BAD: Self = Self(1);

    /// What `error` means to who called this program.
    pub(super) fn of(error: &Error) -> Self {
        Self(error.kind().exit_code())
    }

    pub(super) fn code(self) -> u8 {
        self.0
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(socket: PathBuf, output: &'a mut Output) -> Result<Self> {
        Ok(Self { client: Client::new(socket)?, output })
    }

    /// Does `act` for every name, reports each error, and keeps what went well.
    /// The status is that of the first error.
    pub(super) fn each<T>(
        &mut self,
        names: &[String],
        mut act: impl FnMut(&mut Self, &str) -> Result<T>,
    ) -> (Vec<T>, Status) {
        self.each_of(names, |session, name| act(session, name))
    }

    /// [`each`](Self::each) of what is named by more than a text.
    pub(super) fn each_of<N, T>(
        &mut self,
        names: &[N],
        mut act: impl FnMut(&mut Self, &N) -> Result<T>,
    ) -> (Vec<T>, Status) {
        let mut answers = Vec::new();
        let mut status = Status::OK;
        for name in names {
            match act(self, name) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    self.output.error(&error);
                    if status == Status::OK {
                        status = Status::of(&error);
                    }
                }
            }
        }
        (answers, status)
    }
}
