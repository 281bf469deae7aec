//! Asks the machine's resolver whether the site's own hosts are aliases of others: a tracker may hide behind the site's
//! name, and only the name system tells (CK-38).
//!
//! Chromium does not say under which alias it connected, so the question is put once more, after the visits.

use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE, rdata::RData};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::net::UdpSocket;
use vigie_domain::{VisitRecord, record::EventKind};
use vigie_trackers::{Party, host_of, party};

/// Hosts that are asked for, at most.
const MOST_HOSTS: usize = 16;

/// How long the resolver may take for one host.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

/// Returns the aliases of the site's other hosts that the visits asked for something, in the order of the chain; none
/// for a host that is no alias. A host about which the resolver did not answer is left out.
pub(crate) async fn aliases(visits: &[VisitRecord], site: &str) -> BTreeMap<String, Vec<String>> {
    let Some(resolver) = resolver() else { return BTreeMap::new() };
    ask(resolver, own_hosts(visits, site)).await
}

async fn ask(resolver: SocketAddr, hosts: BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let mut asking = tokio::task::JoinSet::new();
    for host in hosts.into_iter().take(MOST_HOSTS) {
        asking.spawn(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, aliases_of(&host, resolver)).await;
            answer.ok().flatten().map(|aliases| (host, aliases))
        });
    }
    asking.join_all().await.into_iter().flatten().collect()
}

/// Returns the site's own hosts, besides that of its pages, that were asked for something.
fn own_hosts(visits: &[VisitRecord], site: &str) -> BTreeSet<String> {
    let events = visits.iter().flat_map(|visit| &visit.events);
    let hosts = events.filter_map(|event| match &event.kind {
        EventKind::Request { url, .. } => host_of(url),
        _ => None,
    });
    hosts.filter(|host| host != site && party(host, site) == Party::First && host.parse::<IpAddr>().is_err()).collect()
}

/// Returns the first resolver of `/etc/resolv.conf`.
fn resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let address = servers.find_map(|server| server.trim().parse::<IpAddr>().ok())?;
    Some(SocketAddr::new(address, 53))
}

async fn aliases_of(host: &str, resolver: SocketAddr) -> Option<Vec<String>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(resolver).await.ok()?;
    // The port is the system's, so is hard to guess; the id need not be.
    let id = socket.local_addr().ok()?.port();
    let mut question = Packet::new_query(id);
    question.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(host).ok()?;
    question.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), CLASS::IN.into(), false));
    socket.send(&question.build_bytes_vec().ok()?).await.ok()?;
    let mut bytes = [0; 4096];
    loop {
        let length = socket.recv(&mut bytes).await.ok()?;
        match chain(bytes.get(..length)?, id, host) {
            Ok(chain) => return Some(chain),
            Err(Useless::Unknown) => return None,
            Err(Useless::Stray) => {}
        }
    }
}

/// Why an answer tells nothing.
#[derive(Debug)]
enum Useless {
    /// It is no answer, or to another question; the right one may still come.
    Stray,
    /// The resolver does not know the host.
    Unknown,
}

/// Returns the aliases in an answer.
fn chain(bytes: &[u8], id: u16, host: &str) -> Result<Vec<String>, Useless> {
    let answer = Packet::parse(bytes).map_err(|_| Useless::Stray)?;
    if answer.id() != id || !answer.has_flags(PacketFlag::RESPONSE) {
        return Err(Useless::Stray);
    }
    if answer.rcode() != RCODE::NoError {
        return Err(Useless::Unknown);
    }
    let mut chain: Vec<String> = Vec::new();
    let mut name = host.to_ascii_lowercase();
    // Each step consumes a record, so a circle ends.
    for _ in 0..answer.answers.len() {
        let next = answer.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(alias) if record.name.to_string().eq_ignore_ascii_case(&name) => Some(alias.0.to_string()),
            _ => None,
        });
        let Some(next) = next else { break };
        name = next.to_ascii_lowercase();
        chain.push(name.clone());
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{ResourceRecord, rdata::CNAME};

    /// Answers each question with a chain of two aliases, as a resolver does.
    async fn resolver_that_answers() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                let question = Packet::parse(&bytes[..length]).unwrap();
                let mut answer = Packet::new_reply(question.id());
                let host = question.questions[0].qname.to_string();
                let alias = |from: &str, to: &str| {
                    let rdata = RData::CNAME(CNAME(Name::new(to).unwrap().into_owned()));
                    ResourceRecord::new(Name::new(from).unwrap().into_owned(), CLASS::IN, 60, rdata)
                };
                if host.starts_with("metrics") {
                    answer.answers.push(alias("edge.tracker.test", "host.tracker.test"));
                    answer.answers.push(alias(&host, "edge.tracker.test"));
                }
                socket.send_to(&answer.build_bytes_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn a_chain_of_aliases_is_followed_and_a_host_without_has_none() {
        let resolver = resolver_that_answers().await;
        let hosts = ["metrics.shop.test", "static.shop.test"].map(str::to_owned).into_iter().collect();
        let found = ask(resolver, hosts).await;
        assert_eq!(found["metrics.shop.test"], ["edge.tracker.test", "host.tracker.test"]);
        assert_eq!(found["static.shop.test"], [""; 0]);
    }

    #[tokio::test]
    async fn a_resolver_that_is_silent_says_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let hosts = BTreeSet::from(["metrics.shop.test".to_owned()]);
        assert!(ask(socket.local_addr().unwrap(), hosts).await.is_empty());
    }

    #[test]
    fn no_bytes_make_the_reader_panic_and_a_circle_ends() {
        proptest::proptest!(|(bytes: Vec<u8>)| { let _ = chain(&bytes, 7, "a.test"); });
        let mut answer = Packet::new_reply(7);
        for (from, to) in [("a.test", "b.test"), ("b.test", "a.test")] {
            let rdata = RData::CNAME(CNAME(Name::new(to).unwrap()));
            answer.answers.push(ResourceRecord::new(Name::new(from).unwrap(), CLASS::IN, 60, rdata));
        }
        let found = chain(&answer.build_bytes_vec().unwrap(), 7, "a.test").unwrap();
        assert_eq!(found, ["b.test", "a.test"]);
    }
}
