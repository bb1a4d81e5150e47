//! Figures per route and cluster, read from what queries are answered from when somebody asks for them.

use crate::state::{Serving, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Pairs of route and cluster that have series of their own, in the order of the routes' names; the others are summed.
pub const SERIES_MAX: usize = 2000;
/// Label of those others.
const OTHERS: &str = "others";

#[derive(Debug)]
pub struct RouteFigures(pub Arc<State>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct OfRoute {
    pub route: String,
    pub cluster: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub answers: u64,
    pub demand: f64,
}

impl Collector for RouteFigures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(serving) = self.0.get() else { return Ok(()) };
        let figures = figures(&serving, SERIES_MAX);
        let help = "Answers that named a cluster";
        let mut family = encoder.encode_descriptor("route_answers", help, None, MetricType::Counter)?;
        for (labels, figures) in &figures {
            ConstCounter::new(figures.answers).encode(family.encode_family(labels)?)?;
        }
        let help = "Questions of clients who like a cluster best, fit or not";
        let mut family = encoder.encode_descriptor("route_demand", help, None, MetricType::Counter)?;
        for (labels, figures) in &figures {
            ConstCounter::new(figures.demand).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

/// At most `max` series, and one per cluster for the rest.
pub fn figures(serving: &Serving, max: usize) -> BTreeMap<OfRoute, Figures> {
    let (snapshot, tally) = (&serving.snapshot, serving.ledger.tally());
    let (mut found, mut used) = (BTreeMap::new(), 0);
    for (index, route) in snapshot.routes().iter().enumerate() {
        let read = tally.read(snapshot, index);
        let mut demand = vec![0.0; route.pool().len()];
        for (order, asked) in snapshot.orders(route).iter().zip(&read.asked).filter(|(_, asked)| **asked > 0) {
            let parts = snapshot.first_choice(route, order, route.full_mask());
            demand.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part * *asked as f64);
        }
        used += route.pool().len();
        let name = if used <= max { route.name().as_str() } else { OTHERS };
        for ((cluster, answers), demand) in route.pool().iter().zip(read.answers).zip(demand) {
            let labels = OfRoute { route: name.to_owned(), cluster: cluster.to_string() };
            let figures: &mut Figures = found.entry(labels).or_default();
            figures.answers += answers;
            figures.demand += demand;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::{ROUTE, plan, query};
    use hickory_proto::rr::RecordType;
    use waggle_dns::{Snapshot, Transport};
    use waggle_model::Timestamp;

    #[test]
    fn series_have_a_limit_and_lose_nothing() {
        let plan = plan(1, &[("eu-1", "192.0.2.1"), ("us-1", "192.0.2.2")]);
        let serving = Serving::new(Snapshot::compile(&plan, None, [7; 16]).unwrap());
        let query = query(ROUTE, RecordType::A).to_vec().unwrap();
        for _ in 0..3 {
            let source = "192.0.2.1:1000".parse().unwrap();
            serving.answer(&query, source, Transport::Udp, Timestamp(1), &mut [0; 1280]).unwrap();
        }
        let show = |max| {
            let line = |(of, figures): (OfRoute, Figures)| {
                format!("{} {} {} {}", of.route, of.cluster, figures.answers, figures.demand)
            };
            figures(&serving, max).into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(show(2), [format!("{ROUTE} eu-1 3 3"), format!("{ROUTE} us-1 0 0")]);
        assert_eq!(show(1), ["others eu-1 3 3", "others us-1 0 0"]);
    }
}
