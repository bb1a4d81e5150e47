//! Generates message types from `proto/` with a compiler written in Rust, so that no protoc is needed to build.

use std::path::Path;

const SHARED: &str = "waggle/document/v1/document.proto";
const DNSTAP: &str = "dnstap/dnstap.proto";
const SERVICES: [&str; 4] = [
    "waggle/identity/v1/identity.proto",
    "waggle/agent/v1/agent.proto",
    "waggle/route/v1/route.proto",
    "grpc/health/v1/health.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    tonic_prost_build::configure().bytes(".").compile_fds(protox::compile([SHARED], [&root])?)?;
    tonic_prost_build::configure().compile_fds(protox::compile([DNSTAP], [&root])?)?;
    tonic_prost_build::configure()
        .bytes(".")
        // They hold secrets; what they show is written by hand.
        .skip_debug(["waggle.agent.v1.DesiredState", "waggle.agent.v1.RegistryLogin"])
        .extern_path(".waggle.document.v1", "crate::proto::document")
        .compile_fds(protox::compile(SERVICES, [&root])?)?;
    Ok(())
}
