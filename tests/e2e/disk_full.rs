//! The disk of control is full: the refusal and the status say so, and with room again control goes on by itself.

use crate::binary;
use anyhow::{Result, ensure};
use std::fs;
use waggle_tests::bed::host::Host;
use waggle_tests::bed::process::{self, Process};
use waggle_tests::bed::{self, Bed, PATIENCE, interrupt, wait_for};

/// Records of 200 bytes: the federation and its route plan together are larger than the disk.
const RECORDS: usize = 3500;

#[test]
fn a_full_disk_is_told_and_control_goes_on_when_there_is_room() -> Result<()> {
    interrupt::catch()?;
    let bed = Bed::make(bed::TRACE)?;
    let host = Host::make(bed.plot, "control", 2)?;
    let data = host.dir().join("data");
    fs::create_dir_all(&data)?;
    let data_text = data.display().to_string();
    process::run("mount", &["-t", "tmpfs", "-o", "size=3m,mode=0700", "none", &data_text])?;
    let mut control = start_control(&host, &data_text)?;
    let waggle = |arguments: &[&str]| -> Result<(bool, String)> {
        let mut command = host.command(&binary().display().to_string());
        let result = command.args(arguments).env("HOME", host.dir()).env_remove("XDG_CONFIG_HOME").output()?;
        let said = [result.stdout, result.stderr].concat();
        Ok((result.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    let token = data.join("admin.token").display().to_string();
    let url = format!("https://{}:7440", host.address);
    wait_for("control's API", PATIENCE, || {
        control.check_alive()?;
        let (ok, said) = waggle(&["login", &url, "--token-file", &token])?;
        ensure!(ok, "{said}");
        Ok(())
    })?;

    let file = host.dir().join("federation.yaml");
    fs::write(&file, federation())?;
    let apply = ["apply", "-f", &file.display().to_string()].map(str::to_owned);
    let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
    let (ok, said) = waggle(&apply)?;
    ensure!(!ok && said.contains("full"), "{said}");
    // The refusal is at once; the status tells what the reconciler found, whose next pass may be a moment away.
    wait_for("the status to speak of the disk", PATIENCE, || {
        let (ok, said) = waggle(&["status"])?;
        ensure!(ok && said.contains("full"), "status says nothing of the disk: {said}");
        Ok(())
    })?;

    process::run("mount", &["-o", "remount,size=64m", &data_text])?;
    wait_for("control to go on", PATIENCE, || {
        let (ok, said) = waggle(&apply)?;
        ensure!(ok, "{said}");
        let (_, said) = waggle(&["status"])?;
        ensure!(!said.contains("full") && !said.contains("route plan 0"), "{said}");
        Ok(())
    })?;
    let status = control.terminate()?;
    ensure!(status.success(), "control ended with {status}");
    drop(bed);
    let left = bed::leftovers(bed::TRACE);
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    Ok(())
}

fn start_control(host: &Host, data: &str) -> Result<Process> {
    let config = host.dir().join("control.toml");
    let ip = host.address;
    fs::write(&config, format!("data_dir = \"{data}\"\napi_listen = \"{ip}:7440\"\ngrpc_listen = \"{ip}:7441\"\n"))?;
    let mut command = host.command(&binary().display().to_string());
    command.args(["control", "--config", &config.display().to_string()]);
    Process::start(&host.dir(), "control", command)
}

fn federation() -> String {
    let mut text = String::from(
        "clusters:\n  eu-1: {addresses: [192.0.2.1]}\nzones:\n  shop.example:\n    nameservers: [ns1.shop.example]\n    records:\n",
    );
    for number in 0..RECORDS {
        text += &format!("      - {{name: h{number}, type: TXT, values: ['\"{}\"']}}\n", "x".repeat(200));
    }
    text
}
