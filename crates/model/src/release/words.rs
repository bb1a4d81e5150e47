//! Routes' terms in the words of the Compose file, for people.

use super::{AllDown, Check, CheckKind, Https, Policy};
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Policy::Nearest => f.write_str("nearest"),
            Policy::Weighted(weights) => {
                let weights: Vec<_> = weights.iter().map(|(cluster, weight)| format!("{cluster}: {weight}")).collect();
                write!(f, "weighted {}", weights.join(", "))
            }
            Policy::Failover(clusters) => {
                let clusters: Vec<_> = clusters.iter().map(|cluster| cluster.as_str()).collect();
                write!(f, "failover {}", clusters.join(", "))
            }
            Policy::Multivalue(count) => write!(f, "multivalue {count}"),
        }
    }
}

/// As in a zone file, without the hints.
impl Display for Https {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("1 .")?;
        if !self.alpn.is_empty() {
            write!(f, " alpn={}", self.alpn.join(","))?;
        }
        self.port.filter(|port| *port != 443).map_or(Ok(()), |port| write!(f, " port={port}"))
    }
}

impl Display for AllDown {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            AllDown::LastGood => f.write_str("last_good"),
            AllDown::All => f.write_str("all"),
            AllDown::Fallback(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "fallback {}", addresses.join(", "))
            }
        }
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            CheckKind::Tcp => write!(f, "tcp")?,
            CheckKind::Http(http) => {
                write!(f, "{} {}", if http.tls { "https" } else { "http" }, http.path)?;
                if let Some(host) = &http.host {
                    write!(f, " of {host}")?;
                }
                if let Some(status) = http.status {
                    write!(f, " with status {status}")?;
                }
                if let Some(text) = &http.contains {
                    write!(f, " that contains {text:?}")?;
                }
                if http.tls_insecure {
                    write!(f, ", any certificate,")?;
                }
            }
            CheckKind::Grpc(grpc) => {
                write!(f, "{}", if grpc.tls { "grpc over tls" } else { "grpc" })?;
                if !grpc.service.is_empty() {
                    write!(f, " {}", grpc.service)?;
                }
                if let Some(host) = &grpc.host {
                    write!(f, " of {host}")?;
                }
                if grpc.tls_insecure {
                    write!(f, ", any certificate,")?;
                }
            }
        }
        let (interval, timeout) = (time(self.interval), time(self.timeout));
        write!(f, " on port {} every {interval}, {timeout} at most", self.port)?;
        self.latency.map_or(Ok(()), |limit| write!(f, ", too slow above {}", time(limit)))
    }
}

fn time(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) { format!("{} s", millis / 1000) } else { format!("{millis} ms") }
}
