//! hickory-server as it comes: its own UDP loop and its `Catalog` over a zone in memory.

use super::Setup;
use crate::nameservers::scene::{ROUTE, SITES, TTL, ZONE, master_file};
use anyhow::{Context, Result};
use hickory_server::Server;
use hickory_server::proto::rr::Name;
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub fn prepare(setup: &Setup<'_>) -> Result<Command> {
    let zone = setup.directory.join("hickory.zone");
    fs::write(&zone, master_file(&format!("{ROUTE} {TTL} A {}", SITES[0].1)))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hickory").arg(setup.port.to_string()).arg(zone);
    Ok(command)
}

/// Serves the zone until killed, on one thread.
pub fn serve(port: u16, zone: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let origin = Name::from_ascii(format!("{ZONE}."))?;
        let text = fs::read_to_string(zone)?;
        let (origin, records) = Parser::new(text, None, Some(origin)).parse()?;
        let handler = InMemoryZoneHandler::new(origin.clone(), records, ZoneType::Primary, AxfrPolicy::Deny);
        let handler: InMemoryZoneHandler = handler.map_err(anyhow::Error::msg)?;
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::new(handler)]);
        let mut server = Server::new(catalog);
        server.register_socket(tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?);
        server.block_until_done().await.context("the server ended")
    })
}
