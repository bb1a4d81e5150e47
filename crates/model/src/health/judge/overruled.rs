//! What people said of endpoints: verdicts forced by the plan, and overrides told to nameservers directly.

use super::Judge;
use crate::health::forced::Forced;
use crate::health::overrides::{ActiveOverride, Overrides, Refused, Signed};
use crate::plan::{Endpoint, RoutePlan};
use crate::{DomainName, Timestamp};

impl Judge {
    /// Takes a signed override if `plan` and what came before allow; `false`: it is known already.
    pub fn offer_override(
        &mut self,
        signed: &Signed,
        plan: &RoutePlan,
        genuine: impl FnOnce(&Signed) -> bool,
        now: Timestamp,
    ) -> Result<bool, Refused> {
        self.overrides.offer(signed, plan, genuine, now)
    }

    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// Those from before a restart.
    pub fn restore_overrides(&mut self, kept: Overrides) {
        self.overrides = kept;
    }

    /// What has an effect just now.
    pub fn active_overrides(&self, now: Timestamp) -> Vec<ActiveOverride> {
        self.overrides.active(&self.override_keys, now).map(ActiveOverride::from).collect()
    }

    /// The forced verdict, and why the endpoint must not be answered. An override counts more than the plan, but what the
    /// plan drained stays so.
    pub(super) fn said_of(
        &self,
        route: &DomainName,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> (Option<Forced>, Option<String>) {
        let signed = self.overrides.on(route, &endpoint.cluster, &self.override_keys, now);
        let planned = endpoint.forced.clone().filter(|forced| forced.holds(now));
        let forced = signed.and_then(Signed::forced).or(planned);
        let drained = endpoint.drained.clone().or_else(|| signed.and_then(Signed::drained));
        (forced, drained)
    }
}
