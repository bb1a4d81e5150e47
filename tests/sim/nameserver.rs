//! One simulated nameserver: the real judge and the real answer engine, with probes that the world carries out.

use anyhow::{Context, Result, ensure};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use waggle_dns::{Health, Ledger, Snapshot, Transport, answer};
use waggle_model::health::ProbeResult;
use waggle_model::health::judge::{Judge, Persisted};
use waggle_model::plan::intake;
use waggle_model::plan::{LedgerEntry, NameserverStatus, RoutePlan};
use waggle_model::routing::Share;
use waggle_model::{ClusterName, Generation, NameserverName, Timestamp};
use waggle_wire::document::{self, Intake};
use waggle_wire::proto::document::Document;

pub struct Nameserver {
    pub name: NameserverName,
    pub up: bool,
    pub judge: Judge,
    serving: Option<Serving>,
    disk: Disk,
    /// Of endpoints that left the plan.
    gone: Vec<LedgerEntry>,
    started: Timestamp,
}

/// What is kept over a kill: the plan and the last verdicts.
#[derive(Clone, Default)]
struct Disk {
    plan: Option<(RoutePlan, Vec<u8>)>,
    verdicts: Option<Persisted>,
}

struct Serving {
    snapshot: Snapshot,
    health: Health,
    ledger: Ledger,
}

impl Nameserver {
    pub fn new(name: &str, now: Timestamp) -> Result<Nameserver> {
        let name: NameserverName = name.parse()?;
        let judge = Judge::new(name.clone(), now.0, now);
        Ok(Nameserver { name, up: true, judge, serving: None, disk: Disk::default(), gone: Vec::new(), started: now })
    }

    pub fn generation(&self) -> Generation {
        self.disk.plan.as_ref().map(|(plan, _)| plan.generation).unwrap_or_default()
    }

    pub fn plan(&self) -> Option<&RoutePlan> {
        self.disk.plan.as_ref().map(|(plan, _)| plan)
    }

    pub fn offer(&mut self, offered: &Document) -> Result<()> {
        let have = self.disk.plan.as_ref().map(|(plan, sha256)| (plan.generation, sha256.as_slice()));
        if document::intake(have, offered) == Intake::Take {
            let plan: RoutePlan = document::decode(offered)?;
            // Nothing that control does here is an accident: neither a rollout, nor a drain, nor having missed plans.
            if let Some((before, _)) = &self.disk.plan {
                intake::check(before, Generation(0), &plan)?;
            }
            self.serve(&plan)?;
            self.disk.plan = Some((plan, offered.sha256.to_vec()));
        }
        Ok(())
    }

    fn serve(&mut self, plan: &RoutePlan) -> Result<()> {
        let compiled = Snapshot::compile(plan, None, [7; 16]);
        let snapshot = compiled.map_err(|errors| anyhow::anyhow!("the plan does not compile: {errors:?}"))?;
        let ledger = Ledger::new(&snapshot);
        if let Some(before) = &self.serving {
            let mut entries = before.ledger.entries(&before.snapshot);
            entries.append(&mut self.gone);
            self.gone = ledger.absorb(&snapshot, &entries);
        }
        self.judge.plan(plan)?;
        self.serving = Some(Serving { health: Health::new(&snapshot), snapshot, ledger });
        Ok(())
    }

    /// Judges and puts the conclusions where answers read them.
    pub fn judge(&mut self, now: Timestamp) {
        self.judge.turn(now);
        let Some(serving) = &self.serving else { return };
        let judgement = self.judge.judge(now);
        for (name, judged) in &judgement.routes {
            if let Some((index, _)) = serving.snapshot.route(name) {
                let shares = judged.endpoints.iter().map(|one| one.limited.map_or(Share::FULL, |it| it.share));
                serving.health.limit(index, &shares.collect::<Vec<_>>());
                serving.health.set(index, judged.mask, judged.ttl_cap);
            }
        }
        self.disk.verdicts = Some(self.judge.persisted(now));
    }

    pub fn probed(&mut self, cluster: &ClusterName, result: &ProbeResult) {
        let routes: Vec<_> = self.plan().into_iter().flat_map(|plan| plan.routes.keys().cloned()).collect();
        for route in routes {
            // An endpoint that just left the plan is refused, which is right.
            let _ = self.judge.probe(&route, cluster, result);
        }
    }

    pub fn status(&self, now: Timestamp) -> Option<NameserverStatus> {
        let serving = self.serving.as_ref()?;
        Some(NameserverStatus {
            name: self.name.clone(),
            generation: self.generation(),
            at: now,
            ledger: [serving.ledger.entries(&serving.snapshot), self.gone.clone()].concat(),
            verdicts: self.judge.verdicts(now),
            queries: 0,
            started: self.started,
            traffic: Vec::new(),
            refused: None,
            overrides: Vec::new(),
        })
    }

    pub fn kill(&mut self) {
        self.up = false;
        self.serving = None;
        self.gone.clear();
    }

    pub fn start(&mut self, now: Timestamp) -> Result<()> {
        self.up = true;
        self.started = now;
        self.judge = Judge::new(self.name.clone(), now.0, now);
        if let Some((plan, _)) = self.disk.plan.clone() {
            self.serve(&plan)?;
            if let Some(verdicts) = &self.disk.verdicts {
                self.judge.restore(verdicts, now);
            }
            self.judge(now);
        }
        Ok(())
    }

    /// Address and TTL in seconds for a client of `subnet`; `None` before the first plan has the route.
    pub fn ask(&self, name: &str, subnet: Ipv4Addr, now: Timestamp) -> Result<Option<(IpAddr, u32)>> {
        let Some(serving) = &self.serving else { return Ok(None) };
        if serving.snapshot.route(&name.parse()?).is_none() {
            return Ok(None);
        }
        let mut query = Message::new(1, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(format!("{name}."))?, RecordType::A));
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(IpAddr::V4(subnet), 24, 0)));
        query.set_edns(edns);
        let mut out = [0; 4096];
        let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 5353));
        let Serving { snapshot, health, ledger } = serving;
        let length = answer(snapshot, health, ledger, &query.to_vec()?, source, Transport::Udp, now, &mut out);
        let reply = Message::from_vec(&out[..length.context("the query was dropped")?])?;
        ensure!(!reply.answers.is_empty(), "a route was answered empty: {reply:?}");
        match reply.answers[0].data {
            RData::A(address) => Ok(Some((IpAddr::V4(address.0), reply.answers[0].ttl))),
            ref other => anyhow::bail!("a route was answered with {other:?}"),
        }
    }
}
