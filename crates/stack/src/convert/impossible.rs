//! Values that Docker sends and a manager takes, and then no task starts, or the value is read as another one: refused,
//! unless [`Deviation::D14`] is switched off.

use super::Converter;
use crate::Deviation;
use crate::compose::{Port, Service};
use crate::read::Spot;
use std::net::IpAddr;

const PORT_MAX: u32 = 65_535;
/// Highest file mode with setuid, setgid and sticky bits.
const MODE_MAX: u32 = 0o7777;

impl Converter<'_> {
    pub(super) fn check_impossible(&self, service: &Service) {
        if self.file.compat.contains(&Deviation::D14) {
            return;
        }
        for port in &service.ports {
            self.check_port(port);
        }
        self.check_cpus(service);
        for Spot { at, .. } in service.volumes.iter().filter(|mount| mount.value.target.is_empty()) {
            self.report.error(at, "target is missing");
        }
        for Spot { value: reference, at } in service.secrets.iter().chain(&service.configs) {
            if let Some(mode) = reference.mode.filter(|mode| *mode > MODE_MAX) {
                self.report.error(at, format!("mode is {mode}; it must be between 0 and 0{MODE_MAX:o}"));
            }
        }
        for address in service.dns.iter().flatten().filter(|address| address.parse::<IpAddr>().is_err()) {
            self.report.error(&service.at, format!("dns: {address:?} is not an IP address"));
        }
    }

    fn check_cpus(&self, service: &Service) {
        let resources = [&service.deploy.limits, &service.deploy.reservations].into_iter().flatten();
        for Spot { value, at } in resources.filter_map(|resources| resources.cut_cpus.as_ref()) {
            let message = format!("more CPUs than can be sent; docker makes {value} billionths of one of it");
            self.report.error(at, message);
        }
    }

    fn check_port(&self, Spot { value: port, at }: &Spot<Port>) {
        if !(1..=PORT_MAX).contains(&port.target) {
            self.report.error(at, format!("target port {} is not between 1 and {PORT_MAX}", port.target));
        }
        if port.published > PORT_MAX {
            self.report.error(at, format!("published port {} is greater than {PORT_MAX}", port.published));
        }
        if !matches!(port.protocol.as_str(), "" | "tcp" | "udp" | "sctp") {
            self.report.error(at, format!("protocol {:?} is none of tcp, udp, sctp", port.protocol));
        }
        if !matches!(port.mode.as_str(), "" | "ingress" | "host") {
            self.report.error(at, format!("port mode {:?} is none of ingress, host", port.mode));
        }
    }
}
