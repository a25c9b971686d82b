//! What is left while the catalog cannot be trusted.

use std::{fmt::Debug, pin::Pin, sync::Arc, time::Duration};

use berth_api::{Error, Result};

use crate::{
    engine::Engine,
    view::{Diagnosis, Info, JobView, Rebuild},
};

use super::{Reply, Route, answer::json};

/// Stands in for an engine that must not be served.
pub trait Fallback: Debug + Send + Sync {
    /// What this daemon is, and why it serves nothing else.
    fn info(&self) -> Info;

    /// What is wrong and what to do.
    fn doctor(&self) -> Diagnosis;

    /// Why there is no engine, with what helps: the answer to everything else.
    fn refusal(&self) -> Error;

    /// The engine that makes the records anew, while it is at work or when it
    /// gave up: it knows its jobs.
    fn rebuilding(&self) -> Option<Arc<Engine>>;

    /// Makes the records anew, as a job.
    fn rebuild(
        self: Arc<Self>,
        request: Rebuild,
    ) -> Pin<Box<dyn Future<Output = Result<JobView>> + Send>>;

    /// Resolves when what follows from an ended rebuild was done: whoever is told
    /// that it is done finds everything served.
    fn settled(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Answers what can be answered without a catalog.
pub(super) async fn ask(fallback: Arc<dyn Fallback>, route: Route, body: &[u8]) -> Result<Reply> {
    match route {
        Route::Info => Ok(json(&fallback.info())),
        Route::Doctor => Ok(json(&fallback.doctor())),
        // All pools or none: with records of some, the volumes of the others
        // would seem to be gone, and Docker would forget their labels.
        Route::Rebuild(None) => {
            let request: Rebuild = super::read_or_default(body)?;
            Ok(json(&fallback.rebuild(request).await?))
        }
        Route::Jobs | Route::Job(_) | Route::WaitJob { .. } | Route::CancelJob(_) => {
            let Some(engine) = fallback.rebuilding() else { return Err(fallback.refusal()) };
            let job = match &route {
                Route::Job(id) => Some(engine.job(id)?),
                Route::WaitJob { id, seconds } => {
                    Some(engine.wait_job(id, Duration::from_secs(*seconds)).await?)
                }
                _ => None,
            };
            let Some(job) = job else { return super::ask(&engine, route, body).await };
            if job.state.is_final() {
                fallback.settled().await;
            }
            Ok(json(&job))
        }
        _ => Err(fallback.refusal()),
    }
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;
    use hyper::StatusCode;

    use super::*;
    use crate::view::{Finding, Severity};

    #[derive(Debug)]
    struct Damaged;

    impl Fallback for Damaged {
        fn info(&self) -> Info {
            unreachable!("not asked here")
        }

        fn doctor(&self) -> Diagnosis {
            let finding = Finding {
                severity: Severity::Error,
                subject: "catalog".to_owned(),
                message: "damaged".to_owned(),
                hint: None,
            };
            Diagnosis { healthy: false, findings: vec![finding] }
        }

        fn refusal(&self) -> Error {
            Error::unavailable("the catalog cannot be trusted")
        }

        fn rebuilding(&self) -> Option<Arc<Engine>> {
            None
        }

        fn rebuild(
            self: Arc<Self>,
            _: Rebuild,
        ) -> Pin<Box<dyn Future<Output = Result<JobView>> + Send>> {
            Box::pin(async { Err(Error::busy("asked to rebuild")) })
        }

        fn settled(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async {})
        }
    }

    async fn asked(route: Route) -> Result<Reply> {
        ask(Arc::new(Damaged), route, b"").await
    }

    #[tokio::test]
    async fn only_what_needs_no_catalog_is_served() {
        assert_eq!(asked(Route::Doctor).await.expect("served").status, StatusCode::OK);
        let rebuilt = asked(Route::Rebuild(None)).await.expect_err("passed on");
        assert_eq!(rebuilt.kind(), ErrorKind::Busy);
        let name = || "a".to_owned();
        let refused = [
            Route::Volumes { removed: false },
            Route::Volume(name()),
            Route::CreateVolume,
            Route::RemoveVolume { name: name(), now: true },
            Route::Mount(name()),
            Route::Pools,
            Route::Rebuild(Some(name())),
            Route::Jobs,
            Route::Metrics,
        ];
        for route in refused {
            let error = asked(route.clone()).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{route:?}");
        }
    }
}
