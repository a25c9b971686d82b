//! `/v1/policies`: routes and what is asked there.
//!
//! `-` in place of a name is every policy: no name begins so.

use std::sync::Arc;

use berth_api::Result;
use hyper::Method;

use crate::engine::Engine;

use super::{Reply, answer::json};

/// One thing that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `GET /v1/policies`
    All,
    /// `GET /v1/policies/P`
    One(String),
    /// `GET /v1/policies/P/plan`: what a run would do
    Plan(String),
    /// `POST /v1/policies/P/run`
    Run(String),
}

/// What a path that begins as those of this module asks for. `None` if nothing is
/// there.
///
/// # Errors
/// If the method is wrong; the answer are those that are right.
pub(super) fn route(method: &Method, segments: &[&str]) -> Result<Option<Policy>, &'static str> {
    let name = |name: &str| name.to_owned();
    let (get, post) = (method == Method::GET, method == Method::POST);
    Ok(Some(match segments {
        ["policies"] if get => Policy::All,
        ["policies", policy] if get => Policy::One(name(policy)),
        ["policies", policy, "plan"] if get => Policy::Plan(name(policy)),
        ["policies", policy, "run"] if post => Policy::Run(name(policy)),
        ["policies", _, "run"] => return Err("POST"),
        ["policies"] | ["policies", _] | ["policies", _, "plan"] => return Err("GET"),
        _ => return Ok(None),
    }))
}

/// Asks the engine.
pub(super) async fn ask(engine: &Arc<Engine>, route: Policy) -> Result<Reply> {
    Ok(match route {
        Policy::All => json(&engine.policies()),
        Policy::One(name) => json(&engine.policy(&name)?),
        Policy::Plan(name) => json(&engine.plan_policy(chosen(&name)).await?),
        Policy::Run(name) => json(&engine.told(engine.run_policy(chosen(&name))?).await),
    })
}

fn chosen(name: &str) -> Option<&str> {
    (name != "-").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::control::route::{Refusal, Route, route};

    #[test]
    fn every_route_is_found() {
        let p = || "p".to_owned();
        let table = [
            (Method::GET, "/v1/policies", Policy::All),
            (Method::GET, "/v1/policies/p", Policy::One(p())),
            (Method::GET, "/v1/policies/p/plan", Policy::Plan(p())),
            (Method::POST, "/v1/policies/p/run", Policy::Run(p())),
        ];
        for (method, path, wanted) in table {
            assert_eq!(route(&method, path, None).expect(path), Route::Policy(wanted), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_one() {
        let table = [
            (Method::POST, "/v1/policies", "GET"),
            (Method::DELETE, "/v1/policies/p", "GET"),
            (Method::POST, "/v1/policies/p/plan", "GET"),
            (Method::GET, "/v1/policies/p/run", "POST"),
        ];
        for (method, path, expected) in table {
            match route(&method, path, None) {
                Err(Refusal::Method { allow, .. }) => assert_eq!(allow, expected, "{path}"),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
        assert!(matches!(route(&Method::GET, "/v1/policies/p/x", None), Err(Refusal::Unknown(_))));
    }
}
