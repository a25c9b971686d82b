//! A backend that fails, waits and lies on request, for tests.
//!
//! It is a vfs pool that does what it is told. Orders are `CALL=BEHAVIOUR`, where
//! a call is a method of [`berth_api::Backend`] (`take-over` for `take_over`, `create-from` for `create_from`) or
//! of [`berth_api::Snapshots`] (`snapshot` for its `create`, `clone` for
//! `clone_into`, `snapshot-purge` …), or `*` for all of them. They come from the
//! pool's configuration and, so that a test can change its mind while the daemon
//! runs, from the file `<path>.fake` beside the pool: a line each, read again by
//! each call, before those of the configuration.
//!
//! | behaviour | what the call does |
//! |---|---|
//! | `pending:N` | answers `Pending` N times for each volume, then works |
//! | `pending` | answers `Pending` as long as the line is there |
//! | `hang` | blocks, deaf to deadlines, as long as the line is there |
//! | `delay:MS` | waits so many milliseconds, then works |
//! | `error:KIND` | fails without an effect; kinds as in [`berth_api::ErrorKind`], kebab-case |
//! | `fail-after` | has its effect, then fails (`internal`), as `fail-after:KIND` of that kind |
//! | `lie` | answers `Done` without an effect |
//! | `say:WORD` | `inspect` only: `absent`, `incomplete`, `empty`, `present`, `trashed` |
//!
//! `health=error:unavailable` makes the pool say that it is not well.
//!
//! | module | noun |
//! |---|---|
//! | `backend` | the pool, as a [`berth_api::Backend`] |
//! | `snapshots` | its accessor for snapshots |
//! | `script` | what it was told |

mod backend;
mod script;
mod snapshots;

pub use backend::Fake;
