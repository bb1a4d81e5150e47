//! What can be wrong with a deploy before any image is looked up.

use crate::api::ApiError;
use crate::api::types::DeployRequest;
use crate::reconcile::{Loaded, Seen, load};
use crate::records::{STACKS_MAX, keys};
use crate::store::Store;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use waggle_model::StackName;
use waggle_model::federate::check_release;
use waggle_model::release::{Promotion, ReleaseBody, Route, Upkeep};
use waggle_stack::release::{release_body, sha256_hex};
use waggle_stack::{Objects, policy};
use zeroize::Zeroizing;

/// Bytes of one secret or config (Swarm's own limit for configs).
pub const PAYLOAD_BYTES_MAX: usize = 1000 * 1024;
/// Bytes of all secrets and configs of a release: they go to an agent in one message.
pub const PAYLOADS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Services of a stack, and routes.
pub const SERVICES_MAX: usize = 512;
pub const ROUTES_MAX: usize = 1024;

pub(super) struct Checked {
    pub(super) objects: Objects,
    pub(super) routes: Vec<Route>,
    pub(super) promotion: Promotion,
    pub(super) upkeep: Upkeep,
    /// The bytes that came with the request.
    pub(super) payloads: Vec<Zeroizing<Vec<u8>>>,
}

/// All problems at once.
pub(super) async fn check(
    store: &dyn Store,
    seen: &Seen,
    stack: &StackName,
    request: DeployRequest,
) -> Result<Checked, ApiError> {
    let objects = Objects::from_json(&request.objects).map_err(|error| {
        ApiError::invalid(waggle_daemon::tasks::chain(&error)).help("use a client and a control of the same version")
    })?;
    let mut problems = Vec::new();
    let (payloads, given) = decode(request.payloads, &mut problems);
    for hash in objects.payload_hashes() {
        if !given.contains(&hash) && store.get(&keys::payload(&hash)).await?.is_none() {
            problems.push(format!("the bytes of a secret or config are missing (sha256 {hash})"));
        }
    }
    for (count, max, what) in
        [(objects.services.len(), SERVICES_MAX, "services"), (request.routes.len(), ROUTES_MAX, "routes")]
    {
        if count > max {
            problems.push(format!("{count} {what}, at most {max} are allowed"));
        }
    }
    for route in &request.routes {
        if !objects.services.contains_key(&route.service) {
            problems.push(format!("route {}: the stack has no service {}", route.name, route.service));
        }
    }
    let loaded = load(store).await?;
    let (routes, promotion, upkeep) = (request.routes, request.promotion, request.upkeep);
    let body =
        release_body(stack.clone(), &objects, BTreeMap::new(), routes.clone(), promotion.clone(), upkeep.clone(), []);
    problems.extend(against_federation(&loaded, &body));
    problems.extend(against_policies(&loaded, seen, &objects));
    if problems.is_empty() {
        return Ok(Checked { objects, routes, promotion, upkeep, payloads });
    }
    Err(ApiError::problems(&format!("stack {stack} cannot be deployed"), problems))
}

/// What the federation and the other stacks have against it.
pub(super) fn against_federation(loaded: &Loaded, body: &ReleaseBody) -> Vec<String> {
    let mut problems = Vec::new();
    if loaded.state.federation.clusters.is_empty() {
        problems.push("the federation has no cluster yet; apply one with `waggle apply -f federation.yaml`".to_owned());
        return problems;
    }
    if loaded.stacks.get(&body.stack).is_some_and(|stack| stack.removing.is_some()) {
        problems.push(format!("stack {} is being removed; wait until it is gone", body.stack));
    }
    if !loaded.stacks.contains_key(&body.stack) && loaded.stacks.len() >= STACKS_MAX {
        problems.push(format!("there are {STACKS_MAX} stacks, no more are allowed"));
    }
    let others = loaded.state.claimed(&body.stack);
    problems.extend(check_release(&loaded.state.federation, &others, body).iter().map(ToString::to_string));
    problems
}

/// What the clusters do not allow, as far as their agents have told. All of them get the release in the end.
fn against_policies(loaded: &Loaded, seen: &Seen, objects: &Objects) -> Vec<String> {
    let clusters = loaded.state.federation.clusters.keys();
    let refused = clusters.filter_map(|name| Some((name, seen.agents.get(name)?.policy.as_ref()?)));
    let refused = refused.flat_map(|(name, policy)| {
        policy::check(policy, objects).into_iter().map(move |refusal| format!("cluster {name}: {refusal}"))
    });
    refused.collect()
}

fn decode(
    payloads: BTreeMap<String, String>,
    problems: &mut Vec<String>,
) -> (Vec<Zeroizing<Vec<u8>>>, BTreeSet<String>) {
    let (mut decoded, mut given, mut total) = (Vec::new(), BTreeSet::new(), 0);
    for (hash, text) in payloads {
        let text = Zeroizing::new(text);
        let Ok(bytes) = STANDARD.decode(text.as_bytes()).map(Zeroizing::new) else {
            problems.push(format!("payload {hash} is not base64"));
            continue;
        };
        total += bytes.len();
        if bytes.len() > PAYLOAD_BYTES_MAX {
            let length = bytes.len();
            problems.push(format!("payload {hash} has {length} bytes, at most {PAYLOAD_BYTES_MAX} are allowed"));
        } else if sha256_hex(&bytes) != hash {
            problems.push(format!("payload {hash} has other bytes than its name says"));
        } else {
            given.insert(hash);
            decoded.push(bytes);
        }
    }
    if total > PAYLOADS_BYTES_MAX {
        problems.push(format!("secrets and configs of {total} bytes, at most {PAYLOADS_BYTES_MAX} are allowed"));
    }
    (decoded, given)
}
