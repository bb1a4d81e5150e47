//! What one compilation leaves to the next.
//!
//! Most plans differ from the one before in a drain or a weight, and most of the work is in what stayed: the text of zones
//! and the map of clients. Both depend on nothing but their own part of the plan, so they are kept as long as that part is
//! equal; comparing it costs far less than reading it. Snapshots that patch the one before were rejected: with a hundred
//! kinds of change there are a hundred ways to end with another answer than a compilation from scratch gives.

use super::records::Static;
use super::zone;
use super::{ERRORS_MAX, Problems};
use crate::geo::Geo;
use crate::places::Places;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::Arc;
use waggle_model::fleet::Zone;
use waggle_model::plan::{PlanCluster, RoutePlan};
use waggle_model::{ClusterName, DomainName};

/// Records of a zone, each with the place where it was written.
pub(super) type Records = Arc<Vec<(String, Static)>>;

/// Parts of the plan that was compiled last. Belongs to one source of GeoIP data: see [`Memo::forget_places`].
#[derive(Debug, Default)]
pub struct Memo {
    zones: BTreeMap<DomainName, (Zone, Records)>,
    places: Option<Known>,
}

#[derive(Debug)]
struct Known {
    clusters: BTreeMap<ClusterName, PlanCluster>,
    client_map: BTreeMap<IpNet, Vec<ClusterName>>,
    places: Arc<Places>,
}

impl Memo {
    /// Whether this plan's map of clients is known, so that GeoIP data would not be looked at.
    pub fn knows_places(&self, plan: &RoutePlan) -> bool {
        self.places.as_ref().is_some_and(|known| known.clusters == plan.clusters && known.client_map == plan.client_map)
    }

    /// To be called when the GeoIP data changed.
    pub fn forget_places(&mut self) {
        self.places = None;
    }

    pub(super) fn places(&mut self, plan: &RoutePlan, geo: Option<&dyn Geo>, problems: &mut Problems) -> Arc<Places> {
        if let Some(known) = self.places.as_ref().filter(|_| self.knows_places(plan)) {
            return known.places.clone();
        }
        match Places::compile(plan, geo) {
            Ok(places) => {
                let places = Arc::new(places);
                let (clusters, client_map) = (plan.clusters.clone(), plan.client_map.clone());
                self.places = Some(Known { clusters, client_map, places: places.clone() });
                places
            }
            Err(why) => {
                problems.add("client_map", why);
                Arc::new(Places::empty())
            }
        }
    }

    /// A zone with problems is read again each time, so that they are said each time.
    pub(super) fn records(&mut self, name: &DomainName, zone: &Zone, problems: &mut Problems) -> Records {
        if let Some((_, records)) = self.zones.get(name).filter(|(known, _)| known == zone) {
            return records.clone();
        }
        let before = problems.0.len();
        let records = Arc::new(zone::text(name, zone, problems));
        if problems.0.len() == before && before < ERRORS_MAX {
            self.zones.insert(name.clone(), (zone.clone(), records.clone()));
        }
        records
    }

    /// Zones that left the plan are not kept.
    pub(super) fn keep_zones_of(&mut self, plan: &RoutePlan) {
        self.zones.retain(|name, _| plan.zones.contains_key(name));
    }
}
