//! `/v1/repositories` and `/v1/backups`: routes and what is asked there.
//!
//! `-` in place of a repository's name is the default one: no name begins so.

use std::sync::Arc;

use berth_api::Result;
use hyper::Method;

use crate::{
    engine::Engine,
    view::{
        AddKey, CheckRepository, CopyBackups, CreateBackup, PruneRepository, RestoreHost,
        VerifyBackups,
    },
};

use super::{Reply, answer::json, read, read_or_default, route::Query};

/// One thing that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vault {
    /// `GET /v1/repositories`
    Repositories,
    /// `GET /v1/repositories/R`
    Repository(String),
    /// `POST /v1/repositories/R/init`
    Init(String),
    /// `POST /v1/repositories/R/check`
    Check(String),
    /// `POST /v1/repositories/R/prune`
    Prune(String),
    /// `POST /v1/repositories/R/copy`
    Copy(String),
    /// `GET /v1/repositories/R/keys`
    Keys(String),
    /// `POST /v1/repositories/R/keys`
    AddKey(String),
    /// `POST /v1/repositories/R/keys/confirm`: a copy of the key is elsewhere
    ConfirmKey(String),
    /// `DELETE /v1/repositories/R/keys/ID`
    RemoveKey {
        /// The repository.
        repository: String,
        /// The first digits of the key's id.
        id: String,
    },
    /// `GET /v1/backups[?volume=N][&repository=R]`
    Backups {
        /// Of this volume only, by name.
        volume: Option<String>,
        /// In this repository only.
        repository: Option<String>,
    },
    /// `POST /v1/backups/verify`
    Verify,
    /// `POST /v1/backups/restore`: all volumes of a host
    RestoreHost,
    /// `POST /v1/backups/ID/restore[?repository=R]`: into the volume it is of
    RestoreInPlace {
        /// The first digits of its id.
        id: String,
        /// In this repository only.
        repository: Option<String>,
    },
    /// `GET /v1/backups/ID[?repository=R]`
    Backup {
        /// The first digits of its id.
        id: String,
        /// In this repository only.
        repository: Option<String>,
    },
    /// `DELETE /v1/backups/ID[?repository=R]`
    RemoveBackup {
        /// The first digits of its id.
        id: String,
        /// In this repository only.
        repository: Option<String>,
    },
    /// `POST /v1/volumes/N/backups`
    CreateBackup(String),
}

/// What a path that begins as those of this module asks for. `None` if nothing is
/// there.
///
/// # Errors
/// If the method is wrong; the answer are those that are right.
pub(super) fn route(
    method: &Method,
    segments: &[&str],
    query: &mut Query,
) -> Result<Option<Vault>, &'static str> {
    let name = |name: &str| name.to_owned();
    let (get, post, delete) =
        (method == Method::GET, method == Method::POST, method == Method::DELETE);
    Ok(Some(match segments {
        ["repositories"] if get => Vault::Repositories,
        ["repositories", repository] if get => Vault::Repository(name(repository)),
        ["repositories", repository, "init"] if post => Vault::Init(name(repository)),
        ["repositories", repository, "check"] if post => Vault::Check(name(repository)),
        ["repositories", repository, "prune"] if post => Vault::Prune(name(repository)),
        ["repositories", repository, "copy"] if post => Vault::Copy(name(repository)),
        ["repositories", repository, "keys"] if get => Vault::Keys(name(repository)),
        ["repositories", repository, "keys"] if post => Vault::AddKey(name(repository)),
        ["repositories", _, "keys"] => return Err("GET, POST"),
        ["repositories", repository, "keys", "confirm"] if post => {
            Vault::ConfirmKey(name(repository))
        }
        ["repositories", repository, "keys", id] if delete => {
            Vault::RemoveKey { repository: name(repository), id: name(id) }
        }
        ["backups"] if get => {
            Vault::Backups { repository: query.take("repository"), volume: query.take("volume") }
        }
        ["backups", "verify"] if post => Vault::Verify,
        ["backups", "restore"] if post => Vault::RestoreHost,
        ["backups", id, "restore"] if post => {
            Vault::RestoreInPlace { id: name(id), repository: query.take("repository") }
        }
        ["backups", id] if get => {
            Vault::Backup { id: name(id), repository: query.take("repository") }
        }
        ["backups", id] if delete => {
            Vault::RemoveBackup { id: name(id), repository: query.take("repository") }
        }
        ["volumes", volume, "backups"] if post => Vault::CreateBackup(name(volume)),
        ["repositories", _, "init" | "check" | "prune" | "copy"]
        | ["repositories", _, "keys", "confirm"]
        | ["backups", "verify" | "restore"]
        | ["backups", _, "restore"]
        | ["volumes", _, "backups"] => return Err("POST"),
        ["repositories", _, "keys", _] => return Err("DELETE"),
        ["backups", _] => return Err("GET, DELETE"),
        ["repositories" | "backups"] | ["repositories", _] => return Err("GET"),
        _ => return Ok(None),
    }))
}

/// Asks the engine.
pub(super) async fn ask(engine: &Arc<Engine>, route: Vault, body: &[u8]) -> Result<Reply> {
    Ok(match route {
        Vault::Repositories => json(&engine.repositories().await),
        Vault::Repository(name) => json(&engine.repository(chosen(&name)).await?),
        Vault::Init(name) => json(&engine.init_repository(chosen(&name)).await?),
        Vault::Check(name) => {
            let request: CheckRepository = read_or_default(body)?;
            json(&engine.told(engine.check_repository(chosen(&name), &request)?).await)
        }
        Vault::Prune(name) => {
            let request: PruneRepository = read_or_default(body)?;
            json(&engine.told(engine.prune_repository(chosen(&name), &request)?).await)
        }
        Vault::Copy(name) => {
            let request: CopyBackups = read(body)?;
            json(&engine.told(engine.copy_backups(chosen(&name), &request).await?).await)
        }
        Vault::Keys(name) => json(&engine.keys(chosen(&name)).await?),
        Vault::AddKey(name) => {
            let request: AddKey = read(body)?;
            json(&engine.add_key(chosen(&name), request.password_file).await?)
        }
        Vault::ConfirmKey(name) => json(&engine.confirm_key(chosen(&name)).await?),
        Vault::RemoveKey { repository, id } => {
            json(&engine.remove_key(chosen(&repository), id).await?)
        }
        Vault::Backups { volume, repository } => {
            json(&engine.backups(volume.as_deref(), repository.as_deref()).await?)
        }
        Vault::Verify => {
            let request: VerifyBackups = read_or_default(body)?;
            json(&engine.told(engine.verify_backups(&request).await?).await)
        }
        Vault::RestoreHost => {
            let request: RestoreHost = read(body)?;
            json(
                &engine
                    .told(engine.restore_host(&request.host, request.repository.as_deref()).await?)
                    .await,
            )
        }
        Vault::RestoreInPlace { id, repository } => {
            json(&engine.told(engine.restore_in_place(&id, repository.as_deref()).await?).await)
        }
        Vault::Backup { id, repository } => json(&engine.backup(&id, repository.as_deref()).await?),
        Vault::RemoveBackup { id, repository } => {
            json(&engine.remove_backup(&id, repository.as_deref()).await?)
        }
        Vault::CreateBackup(volume) => {
            let request: CreateBackup = read_or_default(body)?;
            json(&engine.told(engine.create_backup(&volume, &request)?).await)
        }
    })
}

fn chosen(name: &str) -> Option<&str> {
    (name != "-").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::control::route::{Refusal, Route, route};

    fn at(method: &Method, target: &str) -> Result<Vault, Refusal> {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        route(method, path, query).map(|route| match route {
            Route::Vault(route) => route,
            other => panic!("{target}: {other:?}"),
        })
    }

    #[test]
    fn every_route_is_found() {
        let r = || "r".to_owned();
        let id = || "4f".to_owned();
        let table = [
            (Method::GET, "/v1/repositories", Vault::Repositories),
            (Method::GET, "/v1/repositories/r", Vault::Repository(r())),
            (Method::POST, "/v1/repositories/r/init", Vault::Init(r())),
            (Method::POST, "/v1/repositories/r/check", Vault::Check(r())),
            (Method::POST, "/v1/repositories/r/prune", Vault::Prune(r())),
            (Method::POST, "/v1/repositories/r/copy", Vault::Copy(r())),
            (Method::GET, "/v1/repositories/r/keys", Vault::Keys(r())),
            (Method::POST, "/v1/repositories/r/keys", Vault::AddKey(r())),
            (Method::POST, "/v1/repositories/r/keys/confirm", Vault::ConfirmKey(r())),
            (
                Method::DELETE,
                "/v1/repositories/r/keys/4f",
                Vault::RemoveKey { repository: r(), id: id() },
            ),
            (Method::GET, "/v1/backups", Vault::Backups { volume: None, repository: None }),
            (
                Method::GET,
                "/v1/backups?volume=db&repository=r",
                Vault::Backups { volume: Some("db".to_owned()), repository: Some(r()) },
            ),
            (Method::POST, "/v1/backups/verify", Vault::Verify),
            (Method::GET, "/v1/backups/4f", Vault::Backup { id: id(), repository: None }),
            (
                Method::DELETE,
                "/v1/backups/4f?repository=r",
                Vault::RemoveBackup { id: id(), repository: Some(r()) },
            ),
            (Method::POST, "/v1/backups/restore", Vault::RestoreHost),
            (
                Method::POST,
                "/v1/backups/4f/restore?repository=r",
                Vault::RestoreInPlace { id: id(), repository: Some(r()) },
            ),
            (Method::POST, "/v1/volumes/db/backups", Vault::CreateBackup("db".to_owned())),
        ];
        for (method, target, route) in table {
            assert_eq!(at(&method, target).expect(target), route, "{method} {target}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let table = [
            (Method::POST, "/v1/repositories", "GET"),
            (Method::DELETE, "/v1/repositories/r", "GET"),
            (Method::GET, "/v1/repositories/r/init", "POST"),
            (Method::DELETE, "/v1/repositories/r/keys", "GET, POST"),
            (Method::GET, "/v1/repositories/r/keys/4f", "DELETE"),
            (Method::POST, "/v1/backups/4f", "GET, DELETE"),
            (Method::GET, "/v1/volumes/db/backups", "POST"),
            (Method::GET, "/v1/backups/4f/restore", "POST"),
        ];
        for (method, path, expected) in table {
            match at(&method, path) {
                Err(Refusal::Method { allow, .. }) => assert_eq!(allow, expected, "{path}"),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
        for path in ["/v1/repositories/r/keys/4f/x", "/v1/backups/4f/x", "/v1/repositories/r/x"] {
            assert!(matches!(at(&Method::GET, path), Err(Refusal::Unknown(_))), "{path}");
        }
        let unknown = at(&Method::GET, "/v1/repositories?x=1");
        assert!(matches!(unknown, Err(Refusal::Malformed(_))), "{unknown:?}");
    }
}
