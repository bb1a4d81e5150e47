//! Queries once more: who asked for which route, read from a query's octets, and what such a client gets under other
//! verdicts. The same code decides as on the answer path; nothing here is on it.

use crate::choose::{Client, Line, decide};
use crate::explain;
use crate::health::Health;
use crate::name::Folded;
use crate::request::Request;
use crate::snapshot::{Order, Route, Snapshot};
use crate::tally::ClientOrder;
use ipnet::IpNet;
use std::net::IpAddr;
use waggle_model::ClusterName;
use waggle_model::routing::{V4_PREFIX, V6_PREFIX};

/// One query that a route decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Index of the route.
    pub route: usize,
    /// The /24 or /56 of the client that decides: its subnet, or whoever asks for it.
    pub client: IpNet,
    /// How the place of the client orders the route's clusters.
    pub order: ClientOrder,
}

/// Who asked for which route with `query`, which came from `source`; `None`: no route decides it, or it is no valid query.
pub fn asker(s: &Snapshot, query: &[u8], source: IpAddr) -> Option<Asker> {
    let mut name = Folded::new();
    let request = Request::parse(query, &mut name)?;
    let question = request.question.as_ref().filter(|question| request.fault.is_none() && question.class == 1)?;
    let (_, route) = explain::outcome(s, question.name, question.kind);
    let index = route? as usize;
    let route = s.routes.get(index)?;
    let subnet = request.edns.and_then(|edns| edns.subnet).filter(|subnet| subnet.source > 0);
    let client = Client::new(source, subnet.map(|subnet| subnet.address));
    let located = client.locate(&s.places);
    let placed = Line::new(s, route, &client).placed().to_vec();
    let width = if located.address.is_ipv4() { V4_PREFIX } else { V6_PREFIX };
    let client = IpNet::new(located.address, width).ok()?.trunc();
    Some(Asker { route: index, client, order: ClientOrder { placed } })
}

/// Bits of the clusters that a client in the network of `client` gets, best first; none: the route's fallback addresses.
/// `placed` counts where the place of clients orders the clusters, else the route's own order does.
pub fn replay(s: &Snapshot, h: &Health, index: usize, client: IpAddr, placed: &[u8]) -> Vec<u8> {
    let Some(route) = s.routes.get(index) else { return Vec::new() };
    let asking = Client::new(client, None);
    let mut line = Line::of(s, route, &asking, front(route, placed));
    decide(route, &h.fit(index), &mut line).bits().to_vec()
}

/// All bits of the pool in the order in which such a client tries them.
pub fn order(s: &Snapshot, index: usize, client: IpAddr, placed: &[u8]) -> Vec<u8> {
    let Some(route) = s.routes.get(index) else { return Vec::new() };
    let asking = Client::new(client, None);
    let mut line = Line::of(s, route, &asking, front(route, placed));
    let mut left = route.full;
    let mut order = Vec::with_capacity(route.pool.len());
    while left != 0 {
        let Some(bit) = line.next(left) else { break };
        left &= !(1 << (bit & 63));
        order.push(bit);
    }
    order
}

fn front<'a>(route: &'a Route, placed: &'a [u8]) -> &'a [u8] {
    match &route.order {
        Order::Fixed(order) => order,
        Order::Weighted => &[],
        Order::Place { .. } => placed,
    }
}

impl Snapshot {
    /// Clusters of a route that have one of `addresses`.
    pub fn clusters_at<'a>(&'a self, index: usize, addresses: &[IpAddr]) -> Vec<&'a ClusterName> {
        let Some(route) = self.routes.get(index) else { return Vec::new() };
        let pairs = route.pool.iter().zip(&route.addresses);
        pairs.filter(|(_, own)| own.list.iter().any(|one| addresses.contains(one))).map(|(name, _)| name).collect()
    }
}
