//! What an inspection says of the machine it ran on: system, program, resolver, address, clock.

use crate::evidence::{ClockCheck, Machine};
use jiff::{SignedDuration, fmt::rfc2822};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::OnceLock,
    time::Duration,
};
use vigie_domain::{VisitRecord, record::EventKind};
use vigie_trackers::host_of;

/// How long the machine's resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns what can be said before the first visit.
pub(crate) async fn look(url: &url::Url, observed_by: &str) -> Machine {
    let resolved = resolve(url).await;
    Machine {
        system: system(),
        program_sha256: program_sha256().map(str::to_owned),
        observed_by: Some(observed_by.to_owned()),
        local_address: resolved.first().and_then(|&there| local_address(there)).map(|address| address.to_string()),
        resolved: resolved.iter().map(ToString::to_string).collect(),
        clock: None,
    }
}

async fn resolve(url: &url::Url) -> Vec<IpAddr> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Vec::new() };
    let host = host.trim_matches(['[', ']']);
    match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.sort();
            addresses.dedup();
            addresses
        }
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Returns the address from which a packet to `there` would leave. None is sent.
fn local_address(there: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = if there.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((there, 443)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

fn system() -> Option<String> {
    let release = std::fs::read_to_string("/etc/os-release").ok();
    let name = release.as_deref().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let parts = [name, kernel.map(|kernel| format!("{} {}", std::env::consts::OS, kernel.trim()))];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| format!("{}, {}", known.join(", "), std::env::consts::ARCH))
}

/// Returns the hash of the running program, computed once.
fn program_sha256() -> Option<&'static str> {
    static HASH: OnceLock<Option<String>> = OnceLock::new();
    HASH.get_or_init(|| {
        let mut file = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
        let mut hasher = Sha256::new();
        std::io::copy(&mut file, &mut hasher).ok()?;
        Some(hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    })
    .as_deref()
}

/// Compares our clock with the `Date` headers of the answers that came over the network; one per host counts, the one
/// that came soonest after its request was sent.
pub(crate) fn clock<'a>(visits: impl IntoIterator<Item = &'a VisitRecord>) -> Option<ClockCheck> {
    let mut by_host: BTreeMap<String, f64> = BTreeMap::new();
    for visit in visits {
        let mut hosts: BTreeMap<&str, String> = BTreeMap::new();
        for event in &visit.events {
            match &event.kind {
                EventKind::Request { id, url, .. } => {
                    hosts.extend(host_of(url).map(|host| (id.as_str(), host)));
                }
                EventKind::ResponseHeaders { id, headers, .. } => {
                    let stated = headers.iter().find(|(name, _)| name == "date").map(|(_, value)| value);
                    let stated = stated.and_then(|value| rfc2822::parse(value).ok());
                    let since = SignedDuration::from_millis(i64::try_from(event.at_ms).unwrap_or(i64::MAX));
                    let ours = visit.started_at.checked_add(since);
                    if let (Some(stated), Some(host), Ok(ours)) = (stated, hosts.get(id.as_str()), ours) {
                        let offset = stated.timestamp().duration_since(ours).as_secs_f64();
                        // An answer from a cache or a slow server states an earlier time, never a later one.
                        let best = by_host.entry(host.clone()).or_insert(offset);
                        *best = best.max(offset);
                    }
                }
                _ => {}
            }
        }
    }
    let mut offsets: Vec<f64> = by_host.values().copied().collect();
    offsets.sort_by(f64::total_cmp);
    let median = *offsets.get(offsets.len() / 2)?;
    Some(ClockCheck { hosts: offsets.len() as u32, offset_s: median })
}
