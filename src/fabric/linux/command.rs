//! Runs `ip`, `bridge` and `nft`, with arguments spelled out and scripts on standard input; never through a shell.
//!
//! Why not rtnetlink and nftables crates: the programs have batch modes that apply a whole list in one process
//! (`nft` even atomically), an operator can repeat by hand what a log line shows, and their text reads shorter than the
//! builders. They run in the network namespace of the calling thread, so [`super::namespace::inside`] moves them too.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::process::{Command, Stdio};

/// Applies the lines in order and stops at the first that fails. Nothing to do runs nothing.
pub(super) fn ip_batch(lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let script = lines.join("\n") + "\n";
    run("ip", &["-batch", "-"], &script).map(drop)
}

pub(super) fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments, "").map(drop)
}

/// Reads `ip -json …`. It prints nothing at all for some empty lists.
pub(super) fn ip_json<T: DeserializeOwned + Default>(arguments: &[&str]) -> Result<T> {
    parse("ip", &run("ip", &[&["-json"], arguments].concat(), "")?)
}

/// As [`ip_batch`], with the lines of `bridge`.
pub(super) fn bridge_batch(lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let script = lines.join("\n") + "\n";
    run("bridge", &["-batch", "-"], &script).map(drop)
}

/// Reads `bridge -json …`.
pub(super) fn bridge_json<T: DeserializeOwned + Default>(arguments: &[&str]) -> Result<T> {
    parse("bridge", &run("bridge", &[&["-json"], arguments].concat(), "")?)
}

/// Applies a script whole or not at all.
pub(super) fn nft(script: &str) -> Result<()> {
    run("nft", &["-f", "-"], script).map(drop)
}

pub(super) fn nft_json<T: DeserializeOwned + Default>(arguments: &[&str]) -> Result<T> {
    parse("nft", &run("nft", &[&["--json"], arguments].concat(), "")?)
}

fn parse<T: DeserializeOwned + Default>(program: &'static str, text: &[u8]) -> Result<T> {
    if text.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(text)
        .map_err(|error| Error::internal("a network command was not understood", format!("{program}: {error}")))
}

fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<Vec<u8>> {
    let failed = |why: String| {
        let shown = arguments.join(" ");
        Error::internal("a network command failed", format!("{program} {shown}: {why}\n{input}"))
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that failed early doesn't read on; its own words are better than "broken pipe".
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}
