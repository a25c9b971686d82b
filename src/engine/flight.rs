//! Work that goes on by itself, and that identical calls join.
//!
//! A flight is a task of its own: whoever started it may hang up. It answers
//! once, possibly long before it ends (a create is answered when it is accepted
//! and goes on filling). A flight that ends without an answer, be it by a
//! panic, is answered with an error.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use berth_api::{Error, Result, VolumeId, VolumeName};
use tokio::{sync::watch, time::Instant};

/// What identical calls have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flight {
    /// A volume of this name is being made.
    Create(VolumeName),
    /// This volume is being attached and mounted.
    Attach(VolumeId),
}

type Outcome = Option<Result<(), Arc<Error>>>;

/// All flights under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<Flight, watch::Receiver<Outcome>>>,
}

/// A caller's view of a flight.
#[derive(Debug)]
pub(super) struct Passenger {
    outcome: watch::Receiver<Outcome>,
    /// Someone else had started it.
    pub joined: bool,
}

/// The flight's own end of the line.
#[derive(Debug)]
pub(super) struct Pilot {
    flight: Flight,
    flights: Arc<Flights>,
    outcome: watch::Sender<Outcome>,
}

impl Flights {
    /// Joins the flight, or starts it with the task that `start` makes.
    pub(super) fn board<F>(
        self: &Arc<Self>,
        flight: Flight,
        start: impl FnOnce(Pilot) -> F,
    ) -> Passenger
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = under_way.get(&flight) {
            return Passenger { outcome: outcome.clone(), joined: true };
        }
        let (sender, outcome) = watch::channel(None);
        under_way.insert(flight.clone(), outcome.clone());
        let pilot = Pilot { flight, flights: self.clone(), outcome: sender };
        drop(under_way);
        tokio::spawn(start(pilot));
        Passenger { outcome, joined: false }
    }
}

impl Pilot {
    /// Answers all passengers; only the first answer counts.
    pub(super) fn answer(&self, result: Result<()>) {
        self.outcome.send_if_modified(|outcome| {
            let first = outcome.is_none();
            if first {
                *outcome = Some(result.map_err(Arc::new));
                self.flights
                    .under_way
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&self.flight);
            }
            first
        });
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.answer(Err(Error::internal("the operation ended without an answer")));
    }
}

impl Passenger {
    /// The answer, or `None` if there is none by `deadline`.
    pub(super) async fn wait(mut self, deadline: Instant) -> Option<Result<()>> {
        let answered = tokio::time::timeout_at(deadline, self.outcome.wait_for(Option::is_some));
        let outcome = match answered.await {
            Err(_) => return None,
            Ok(Err(_)) => {
                return Some(Err(Error::internal("the operation ended without an answer")));
            }
            Ok(Ok(outcome)) => outcome.clone(),
        };
        outcome.map(|result| result.map_err(|error| error.duplicate()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn identical_calls_share_one_flight() {
        let flights = Arc::<Flights>::default();
        let flight = Flight::Create("db".parse().expect("a valid name"));
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let first = flights.board(flight.clone(), |pilot| async move {
            let _ = gone.await;
            pilot.answer(Err(Error::exhausted("no space")));
        });
        let second = flights.board(flight.clone(), |_| async { unreachable!("joined") });
        assert!(second.joined && !first.joined);
        go.send(()).expect("the flight waits");
        for passenger in [first, second] {
            let error = passenger.wait(soon()).await.expect("in time").expect_err("failed");
            assert_eq!(error.kind(), berth_api::ErrorKind::Exhausted);
        }
        let third = flights.board(flight, |pilot| async move { pilot.answer(Ok(())) });
        assert!(!third.joined, "an answered flight is over");
        third.wait(soon()).await.expect("in time").expect("answered");
    }

    #[tokio::test]
    async fn a_flight_that_panics_is_answered() {
        let flights = Arc::<Flights>::default();
        let flight = Flight::Attach(VolumeId::random());
        let passenger = flights.board(flight, |pilot| async move {
            let _pilot = pilot;
            panic!("on purpose");
        });
        assert!(passenger.wait(soon()).await.expect("in time").is_err());
    }
}
