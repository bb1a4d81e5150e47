//! Queries from words.

#![allow(dead_code, reason = "each test target uses its part")]

use std::net::IpAddr;

/// The name in wire form, in the case given.
pub fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

pub struct Query {
    pub name: Vec<u8>,
    pub kind: u16,
    pub class: u16,
    pub flags: [u8; 2],
    pub edns: Option<Edns>,
}

pub struct Edns {
    pub size: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// Address and source prefix.
    pub subnet: Option<(IpAddr, u8)>,
    /// RFC 7828.
    pub keepalive: bool,
}

pub const EDNS: Edns = Edns { size: 1232, version: 0, dnssec_ok: false, subnet: None, keepalive: false };

impl Query {
    pub fn new(name: &str, kind: u16) -> Query {
        Query { name: wire(name), kind, class: 1, flags: [1, 0], edns: Some(EDNS) }
    }

    pub fn subnet(mut self, address: IpAddr, source: u8) -> Query {
        self.edns = Some(Edns { subnet: Some((address, source)), ..EDNS });
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let additional = u8::from(self.edns.is_some());
        let mut bytes = vec![0x12, 0x34, self.flags[0], self.flags[1], 0, 1, 0, 0, 0, 0, 0, additional];
        bytes.extend_from_slice(&self.name);
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            let mut options = Vec::new();
            if edns.keepalive {
                options.extend([0, 11, 0, 0]);
            }
            if let Some((address, source)) = edns.subnet {
                let (family, octets) = match address {
                    IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                    IpAddr::V6(v6) => (2, v6.octets().to_vec()),
                };
                let octets = &octets[..usize::from(source.div_ceil(8))];
                options.extend([0, 8, 0, 4 + octets.len() as u8, 0, family, source, 0]);
                options.extend_from_slice(octets);
            }
            bytes.extend([0, 0, 41]);
            bytes.extend(edns.size.to_be_bytes());
            bytes.extend([0, edns.version, u8::from(edns.dnssec_ok) << 7, 0, 0, options.len() as u8]);
            bytes.extend(options);
        }
        bytes
    }
}
