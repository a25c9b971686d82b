//! The two sockets: HTTP/1.1 over unix sockets, JSON in and out.
//!
//! This module owns everything between an accepted connection and a method of
//! [`Engine`](crate::engine::Engine). It knows nothing of records, pools or
//! mounts, and the engine knows nothing of HTTP.
//!
//! | module | noun |
//! |---|---|
//! | [`socket`] [`passed`] | listening sockets: made here, or passed by a service manager |
//! | [`peer`] | who is at the other end of a connection |
//! | [`message`] | a request whose body was read, a reply, what can go wrong between |
//! | [`patience`] | how long a peer may stall in the middle of a message |
//! | [`server`] | the accept loop, and handlers detached from connections |
//! | [`docker`] | the nine calls of Docker's `VolumeDriver` |
//! | [`control`] | `/v1` for the command line, and `/metrics` |
//!
//! Invariants:
//! - A connection never owns an operation: whoever hangs up cancels nothing.
//! - A request whose head was read is answered, whatever happens behind it: a
//!   dropped connection makes Docker repeat the call with an empty body.
//! - No handler calls Docker: dockerd waits for us before it serves its own API.

pub mod control;
pub mod docker;
pub mod message;
pub mod passed;
pub mod patience;
pub mod peer;
pub mod server;
pub mod socket;

pub use message::{Fault, Reply, Request};
pub use passed::{Passed, Purpose};
pub use peer::{Guard, Peer};
pub use server::{Limits, Server, Service};
pub use socket::Socket;
