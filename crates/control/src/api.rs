//! The HTTP API for people and CI: JSON over HTTPS, bearer tokens, progress as server-sent events.
//!
//! A handler checks, commits to the store and answers; what follows from the commit is the reconciler's work. So a
//! client that hangs up loses nothing that was accepted.

mod ask;
mod clusters;
mod connections;
mod error;
mod events;
mod federation;
mod guard;
mod logs;
mod openapi;
mod plans;
mod present;
mod registries;
mod releases;
mod rollouts;
mod routes;
mod services;
mod simulate;
mod stacks;
mod status;
pub mod types;
mod verify;
mod why;

#[cfg(test)]
mod tests;

pub(crate) use ask::{not_answered, refused, reply};
pub use connections::{CONNECTIONS_MAX, FIRST_REQUEST_MAX, IDLE_MAX, serve};
pub use error::ApiError;
pub use guard::Caller;

use crate::ca::Authority;
use crate::reconcile::{Activation, Loaded, Seen, Wake, load, too_much_lost};
use crate::sessions::Sessions;
use crate::store::Store;
use crate::vault::Vault;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use waggle_model::Timestamp;
use waggle_model::fleet_state::State as Whole;

/// Bytes of a request body, unless the route says otherwise.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a federation document.
pub const FEDERATION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a deploy: objects, and secrets and configs in base64.
pub const DEPLOY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests worked on at once; more are refused.
pub const REQUESTS_MAX: usize = 256;
/// Streams of events open at once.
pub const EVENTS_MAX: usize = 256;

/// What handlers work with.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

pub struct Parts {
    pub store: Arc<dyn Store>,
    pub vault: Arc<Vault>,
    pub ca: Arc<Authority>,
    pub sessions: Arc<Sessions>,
    pub wake: Wake,
    pub latest: watch::Receiver<Result<Activation, String>>,
    /// Where newcomers dial.
    pub advertise: String,
    pub stop: CancellationToken,
    pub requests: Arc<Semaphore>,
    pub events: Arc<Semaphore>,
}

impl std::ops::Deref for Api {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    pub fn new(parts: Parts) -> Api {
        Api(Arc::new(parts))
    }

    async fn load(&self) -> Result<Loaded, ApiError> {
        Ok(load(&*self.store).await?)
    }

    fn seen(&self) -> Seen {
        self.sessions.seen()
    }

    fn problems(&self) -> Vec<String> {
        match &*self.latest.borrow() {
            Ok(activation) => activation.problems.clone(),
            Err(error) => vec![format!("cannot reconcile: {error}")],
        }
    }
}

/// Refuses a change that would take too much out of the answers at once.
fn refuse_loss(loaded: &Loaded, state: &Whole) -> Result<(), ApiError> {
    let Some(lost) = too_much_lost(loaded, state, now())? else { return Ok(()) };
    let help = "make the change in steps, or say that it is meant with --force (force=true in the API)";
    Err(ApiError::conflict(format!("too much would leave the answers at once: {lost}")).help(help))
}

fn now() -> Timestamp {
    Timestamp(waggle_daemon::time::now())
}

/// The whole API.
pub fn router(api: Api) -> Router {
    let router = routes().router.fallback(error::no_such_route);
    router.method_not_allowed_fallback(error::wrong_method).with_state(api)
}

/// Routes with their names, so that the description can be held against them.
struct Routes {
    router: Router<Api>,
    listed: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn add<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Routes
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.listed.push((method, path));
        let router = MethodRouter::new();
        let router = match method {
            "get" => router.get(handler),
            "put" => router.put(handler),
            "post" => router.post(handler),
            _ => router.delete(handler),
        };
        self.router = self.router.route(path, router);
        self
    }
}

fn routes() -> Routes {
    let large = DefaultBodyLimit::max;
    let routes = Routes { router: Router::new(), listed: Vec::new() }
        .add("post", "/v1/tokens", clusters::new_token)
        .add("get", "/v1/clusters", clusters::all)
        .add("get", "/v1/clusters/{name}", clusters::one)
        .add("delete", "/v1/clusters/{name}", clusters::forget)
        .add("post", "/v1/clusters/{name}/drain", clusters::drain)
        .add("post", "/v1/clusters/{name}/readmit", clusters::readmit)
        .add("get", "/v1/nameservers", clusters::nameservers)
        .add("delete", "/v1/nameservers/{name}", clusters::forget_nameserver)
        .add("get", "/v1/routes", routes::all)
        .add("get", "/v1/routes/{name}", routes::one)
        .add("post", "/v1/routes/{name}/force", routes::force)
        .add("post", "/v1/routes/{name}/unforce", routes::unforce)
        .add("get", "/v1/plans", plans::all)
        .add("post", "/v1/plans/{generation}/revert", plans::revert)
        .add("delete", "/v1/plans/hold", plans::resume)
        .add("get", "/v1/federation", federation::get)
        .add("put", "/v1/federation", federation::put.layer(large(FEDERATION_BYTES_MAX)))
        .add("get", "/v1/registries", registries::all)
        .add("put", "/v1/registries/{registry}", registries::put)
        .add("delete", "/v1/registries/{registry}", registries::remove)
        .add("post", "/v1/stacks/{stack}/deploy", stacks::deploy.layer(large(DEPLOY_BYTES_MAX)))
        .add("post", "/v1/stacks/{stack}/plan", stacks::plan.layer(large(DEPLOY_BYTES_MAX)))
        .add("post", "/v1/stacks/{stack}/rollback", stacks::rollback)
        .add("get", "/v1/stacks/{stack}/export", ask::export)
        .add("post", "/v1/stacks/{stack}/adopt/plan", stacks::plan_adoption)
        .add("post", "/v1/stacks/{stack}/adopt", stacks::adopt)
        .add("get", "/v1/verify", verify::verify)
        .add("get", "/v1/stacks", stacks::all)
        .add("get", "/v1/stacks/{stack}/services", stacks::services)
        .add("get", "/v1/stacks/{stack}/ps", stacks::tasks)
        .add("delete", "/v1/stacks/{stack}", stacks::remove)
        .add("get", "/v1/releases", releases::all)
        .add("get", "/v1/releases/{id}", releases::one)
        .add("get", "/v1/rollouts", rollouts::all)
        .add("get", "/v1/rollouts/{id}", rollouts::one)
        .add("get", "/v1/rollouts/{id}/events", events::events)
        .add("post", "/v1/rollouts/{id}/pause", rollouts::pause)
        .add("post", "/v1/rollouts/{id}/resume", rollouts::resume)
        .add("post", "/v1/rollouts/{id}/abort", rollouts::abort)
        .add("get", "/v1/services", ask::services)
        .add("post", "/v1/services/{service}/scale", services::scale)
        .add("post", "/v1/services/{service}/force", services::force)
        .add("post", "/v1/services/{service}/rollback", services::rollback)
        .add("get", "/v1/tasks", ask::tasks)
        .add("get", "/v1/nodes", ask::nodes)
        .add("post", "/v1/nodes/{node}", ask::update_node)
        .add("get", "/v1/secrets", ask::secrets)
        .add("get", "/v1/configs", ask::configs)
        .add("get", "/v1/inspect", ask::inspect)
        .add("get", "/v1/logs", logs::logs)
        .add("post", "/v1/images/prune", ask::prune_images)
        .add("post", "/v1/join-token", ask::join_token)
        .add("get", "/v1/simulate/outage", simulate::outage)
        .add("get", "/v1/why", why::why)
        .add("get", "/v1/status", status::status);
    routes.public()
}

impl Routes {
    /// Guards what was added so far; what comes now needs no token.
    fn public(mut self) -> Routes {
        self.router = self.router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        self.add("get", "/v1/version", status::version).add("get", "/v1/openapi.json", openapi::document)
    }
}

/// The API as it is served: guarded and bounded.
pub fn service(api: Api) -> Router {
    let guarded = from_fn_with_state(api.clone(), guard::guard);
    router(api).layer(guarded)
}
