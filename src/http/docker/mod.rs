//! `VolumeDriver`: the nine calls that Docker makes.
//!
//! [`call`] reads them, [`answer`] writes what Docker reads; this module asks
//! the engine in between. What Docker does with an answer decides over data and
//! labels: any `Err` of `Get` means "no such volume", an `Err` of `Unmount` is
//! the last that is heard of a reference, and a call that was cut off comes
//! again with an empty body, which must never be taken for a request. A Get that
//! cannot be answered is hung up on: after a connection error Docker keeps what
//! it knows, after an `Err` it drops the volume's labels for good.

pub mod answer;
pub mod call;

use std::{sync::Arc, time::Duration};

use berth_api::{Error, Result};
use hyper::{Method, StatusCode};
use tokio::time::{Instant, timeout};

use crate::{
    engine::{Client, Engine, Installation},
    view::CreateVolume,
};

use super::{Fault, Reply, Request, Service};
use answer::{Answer, reply};
use call::{Call, Verb};

/// The plugin socket's service.
#[derive(Debug)]
pub struct Docker {
    engine: Arc<Engine>,
    installation: Installation,
}

impl Docker {
    /// Answers from `engine`, within the deadlines of `installation`.
    pub fn new(engine: Arc<Engine>, installation: Installation) -> Self {
        Self { engine, installation }
    }

    async fn ask(&self, call: Call) -> Result<Answer> {
        let (engine, client) = (&self.engine, Client::Docker);
        let limit = deadline(call.verb(), self.installation);
        match call {
            Call::Activate => {
                engine.activate();
                Ok(Answer::Activated)
            }
            Call::Create { name, options } => {
                let request = CreateVolume { name: name.clone(), options };
                within(limit, "create", &name, engine.create(client, request)).await?;
                Ok(Answer::Done)
            }
            Call::Remove { name } => {
                engine.freshen(&name).await;
                within(limit, "remove", &name, engine.remove(client, &name, false)).await?;
                Ok(Answer::Done)
            }
            Call::Mount { name, id } => {
                engine.ask(&name).await;
                within(limit, "mount", &name, engine.mount(client, &name, &id))
                    .await
                    .map(Answer::Mountpoint)
            }
            Call::Unmount { name, id } => {
                within(limit, "unmount", &name, engine.unmount(client, &name, &id)).await?;
                Ok(Answer::Done)
            }
            Call::Path { name } => {
                engine.ask(&name).await;
                engine.path(&name).map(Answer::Mountpoint)
            }
            Call::Get { name } => {
                engine.look_around();
                engine.ask(&name).await;
                engine.get(&name).map(|view| Answer::Volume(Box::new(view)))
            }
            Call::List => {
                engine.look_around();
                Ok(Answer::Volumes(engine.names()))
            }
            Call::Capabilities => Ok(Answer::Scope(engine.scope())),
        }
    }
}

impl Service for Docker {
    async fn answer(self: Arc<Self>, request: Request) -> Reply {
        if Verb::of(&request.path) == Some(Verb::Get) && request.body.is_empty() {
            tracing::warn!("hung up on a repeated Get that does not say of what");
            return Reply::hang_up();
        }
        let call = match decode(&request) {
            Ok(call) => call,
            Err((status, error)) => {
                tracing::info!(path = request.path, error = error.chain(), "request refused");
                let mut reply = answer::failure(status, &error);
                reply.allow = (status == StatusCode::METHOD_NOT_ALLOWED).then_some("POST");
                return reply;
            }
        };
        let (verb, volume) = (call.verb(), call.volume().map(ToOwned::to_owned));
        let begun = Instant::now();
        let result = self.ask(call).await;
        let took = begun.elapsed();
        match &result {
            Ok(_) => tracing::debug!(?verb, volume, ?took, "answered docker"),
            Err(error) => {
                tracing::info!(?verb, volume, ?took, error = error.chain(), "refused docker");
            }
        }
        reply(result)
    }

    fn excuse(&self, path: &str, fault: Fault) -> Reply {
        if Verb::of(path) == Some(Verb::Get) && matches!(fault, Fault::Panicked | Fault::Stopping) {
            return Reply::hang_up();
        }
        // Docker reads `Err` of any status; only 200 is the same in all versions.
        answer::failure(StatusCode::OK, &Error::from(fault))
    }
}

/// The call in `request`, or how to refuse it.
fn decode(request: &Request) -> Result<Call, (StatusCode, Error)> {
    let Some(verb) = Verb::of(&request.path) else {
        let shown: String = request.path.chars().take(80).collect();
        let error = Error::not_found(format!("no such call `{}`", shown.escape_debug()));
        return Err((StatusCode::NOT_FOUND, error));
    };
    if request.method != Method::POST {
        let error = Error::invalid(format!("`{}` takes only POST", request.path));
        return Err((StatusCode::METHOD_NOT_ALLOWED, error));
    }
    call::decode(verb, &request.body).map_err(|error| (StatusCode::OK, error))
}

/// How long a call may take at all. The engine answers within 0.8 of what Docker
/// waits (120 s for Create and Mount, 60 s for the others, 30 s for everything of
/// a managed plugin); this is the net below it, at 0.85.
pub fn deadline(verb: Verb, installation: Installation) -> Duration {
    Duration::from_secs(match (installation, verb) {
        (Installation::Managed, _) => 26,
        (Installation::Host, Verb::Create | Verb::Mount) => 102,
        (Installation::Host, _) => 51,
    })
}

/// What `operation` answers, or in time that it still goes on: the engine lets
/// the next identical call join it.
async fn within<T>(
    limit: Duration,
    verb: &str,
    name: &str,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    timeout(limit, operation).await.unwrap_or_else(|_| {
        let name: String = name.chars().take(128).collect();
        Err(Error::unavailable(format!(
            "{verb} `{}`: still working after {} s",
            name.escape_debug(),
            limit.as_secs()
        ))
        .with_hint("repeat the call: it joins the work"))
    })
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;

    use super::*;
    use crate::http::Peer;

    fn request(method: Method, path: &str, body: &'static str) -> Request {
        let path = path.to_owned();
        Request { method, path, query: None, body: body.into(), peer: Peer::default() }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let status = |method, path| {
            let refused = decode(&request(method, path, r#"{"Name":"a"}"#));
            refused.map_err(|(status, _)| status)
        };
        for path in
            ["/", "/VolumeDriver.get", "/VolumeDriver.Get/", "/v1/info", "/NetworkDriver.Get"]
        {
            assert_eq!(status(Method::POST, path), Err(StatusCode::NOT_FOUND), "{path}");
        }
        for method in [Method::GET, Method::PUT, Method::HEAD, Method::DELETE] {
            assert_eq!(status(method, "/VolumeDriver.Get"), Err(StatusCode::METHOD_NOT_ALLOWED));
        }
        assert_eq!(
            status(Method::POST, "/VolumeDriver.Get"),
            Ok(Call::Get { name: "a".to_owned() })
        );
    }

    #[test]
    fn deadlines_are_behind_the_engines_and_before_dockers() {
        let host = |verb| deadline(verb, Installation::Host).as_secs();
        for (seconds, dockers) in [
            (host(Verb::Create), 120),
            (host(Verb::Mount), 120),
            (host(Verb::Remove), 60),
            (host(Verb::Unmount), 60),
            (deadline(Verb::Mount, Installation::Managed).as_secs(), 30),
        ] {
            assert!(seconds * 10 > dockers * 8 && seconds * 10 < dockers * 9, "{seconds}");
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_answered_in_time() {
        let limit = Duration::from_millis(20);
        let error = within(limit, "mount", "db", std::future::pending::<Result<()>>());
        let error = error.await.expect_err("it never ends");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.chain(), "mount `db`: still working after 0 s");
        assert!(error.hint().is_some_and(|hint| hint.contains("repeat the call")));
    }
}
