//! Who serves: which clusters answer a route, and whether the others can do without one of them.

use super::Planner;
use crate::federate::DRAINED_BY_ROLLOUT;
use crate::health::Verdict;
use crate::plan::EndpointVerdict;
use crate::rollout::RoutedRoute;
use crate::{ClusterName, DomainName, NameserverName};

/// Whether other clusters could serve all routes of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Others {
    Fit,
    Unknown(DomainName),
    None(DomainName),
}

impl Planner<'_> {
    /// Whether each route that `name` serves by what it runs, and that goes on with this release, has another fit cluster in
    /// service.
    pub(super) fn others(&self, name: &ClusterName) -> Others {
        let mut found = Others::Fit;
        let runs = self.next.clusters.get(name).and_then(|cluster| cluster.wanted(self.next.release));
        let Some(serves) = runs.and_then(|release| self.facts.has_routes.get(&release)) else { return found };
        for (route, routed) in self.pools_of(name) {
            if !serves.contains(route) || !self.facts.routes.iter().any(|wanted| wanted.name == *route) {
                continue;
            }
            let serving = routed.pool.iter().filter(|(other, drained)| {
                let out = self.next.clusters.get(*other).is_some_and(|cluster| cluster.is_drained());
                let stopped = self.facts.clusters.get(*other).is_none_or(|facts| facts.drained.is_some());
                let returns = drained.as_deref().is_none_or(|why| why == DRAINED_BY_ROLLOUT);
                *other != name && returns && !out && !stopped
            });
            // One that the next route plan takes back is not fit yet, nor gone.
            let fit = serving.map(|(other, drained)| self.is_fit(route, other).filter(|fit| !fit || drained.is_none()));
            let fit: Vec<_> = fit.collect();
            if fit.contains(&Some(true)) {
                continue;
            }
            if fit.contains(&None) {
                found = Others::Unknown(route.clone());
            } else {
                return Others::None(route.clone());
            }
        }
        found
    }

    /// Whether another cluster is in service for `route`, fit or not.
    pub(super) fn is_alone(&self, name: &ClusterName, route: &DomainName) -> bool {
        let pool = self.facts.routed.iter().filter_map(|routed| routed.routes.get(route)).flat_map(|route| &route.pool);
        !pool.into_iter().any(|(other, drained)| other != name && drained.is_none())
    }

    /// Fit in the eyes of some connected nameserver and unfit in nobody's; without any nameserver nobody is asked.
    fn is_fit(&self, route: &DomainName, cluster: &ClusterName) -> Option<bool> {
        if self.facts.nameservers.is_empty() {
            return Some(true);
        }
        let verdicts: Vec<_> = self.verdicts(route, cluster).map(|(_, entry)| &entry.verdict).collect();
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unfit(_))) {
            return Some(false);
        }
        verdicts.contains(&&Verdict::Fit).then_some(true)
    }

    /// What connected nameservers say about one endpoint.
    pub(super) fn verdicts<'b>(
        &'b self,
        route: &'b DomainName,
        cluster: &'b ClusterName,
    ) -> impl Iterator<Item = (&'b NameserverName, &'b EndpointVerdict)> {
        let connected = self.facts.nameservers.iter().filter(|(_, nameserver)| nameserver.connected);
        connected.filter_map(move |(name, nameserver)| {
            let verdicts = &nameserver.status.as_ref()?.verdicts;
            let entry = verdicts.iter().find(|entry| entry.route == *route && entry.cluster == *cluster)?;
            Some((name, entry))
        })
    }

    /// Routes of the present route plan whose pool has `name`.
    pub(super) fn pools_of(&self, name: &ClusterName) -> impl Iterator<Item = (&DomainName, &RoutedRoute)> {
        let routes = self.facts.routed.iter().flat_map(|routed| &routed.routes);
        routes.filter(move |(_, route)| route.pool.contains_key(name))
    }

    pub(super) fn is_pooled(&self, name: &ClusterName) -> bool {
        self.pools_of(name).next().is_some()
    }

    pub(super) fn has_routes(&self) -> bool {
        !self.facts.routes.is_empty()
    }

    /// Clusters that count against `max_parallel`.
    pub(super) fn under_way(&self) -> Vec<ClusterName> {
        self.next.clusters.iter().filter(|(_, cluster)| cluster.is_under_way()).map(|(name, _)| name.clone()).collect()
    }
}
