//! What two processes must agree on, and nothing that one of them decides alone: message types generated from `proto/`,
//! their conversions, who a peer is, and how the channel to it is made.
//!
//! Documents (desired state, observed state, route plan, status) travel as the bytes that are stored, with a generation
//! and a digest ([`document`]); small frequent messages (beats, views) are typed messages ([`convert`]). Identity comes
//! from the peer's certificate and from nothing else ([`identity`]).

pub mod channel;
pub mod convert;
pub mod credentials;
pub mod document;
pub mod enroll;
pub mod identity;
pub mod override_key;
pub mod tls;
pub mod token;

/// Generated from `proto/**`.
pub mod proto {
    pub mod document {
        tonic::include_proto!("waggle.document.v1");
    }
    /// What a query log in this format holds.
    pub mod dnstap {
        tonic::include_proto!("dnstap");

        impl Dnstap {
            /// Its octets.
            pub fn encode(&self) -> Vec<u8> {
                prost::Message::encode_to_vec(self)
            }
        }
    }
    pub mod identity {
        tonic::include_proto!("waggle.identity.v1");
    }
    pub mod agent {
        use std::fmt;

        tonic::include_proto!("waggle.agent.v1");

        impl fmt::Debug for DesiredState {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let generation = self.document.as_ref().map(|document| document.generation);
                let (payloads, logins) = (self.payloads.len(), &self.logins);
                write!(f, "DesiredState(generation {generation:?}, {payloads} payloads, logins {logins:?})")
            }
        }

        impl fmt::Debug for RegistryLogin {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "RegistryLogin({:?}, version {}, …)", self.registry, self.version)
            }
        }
    }
    pub mod route {
        tonic::include_proto!("waggle.route.v1");
    }
    /// What probes ask of gRPC servers.
    pub mod health {
        tonic::include_proto!("grpc.health.v1");
    }
}
