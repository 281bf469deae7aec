//! The hostile hosts answer, or fail to, as their table says.

use crate::client::{Outcome, get};
use std::collections::HashSet;
use vigie_testkit::{
    SiteServer,
    hostile::{self, Outcome as Ends, PAGES},
};

#[tokio::test]
async fn every_hostile_host_answers_in_kind() -> Outcome<()> {
    let server = hostile::add_to(SiteServer::builder()).start()?;
    for page in PAGES.iter().filter(|page| !page.name.starts_with("huge-") && page.name != "infinite-html") {
        let reply = get(&server, &page.url()).await;
        let Ok(reply) = reply else {
            assert!(page.outcomes.contains(&Ends::Unreachable), "{} breaks the handshake", page.name);
            continue;
        };
        match page.outcomes[0] {
            Ends::Inspected => assert_eq!(reply.status(), 200, "{}", page.name),
            Ends::Blocked => assert!([200, 401, 403, 451].contains(&reply.status()), "{}", page.name),
            Ends::Unreachable => assert!([0, 302].contains(&reply.status()), "{}", page.name),
            Ends::Failed => {}
        }
        if page.banner {
            assert!(reply.text().contains("id=\"banner\""), "{} shows its banner", page.name);
        }
    }
    Ok(())
}

#[test]
fn hostile_names_are_unique_and_have_an_outcome() {
    let names: HashSet<_> = PAGES.iter().map(|page| page.name).collect();
    assert_eq!(names.len(), PAGES.len());
    assert!(PAGES.iter().all(|page| !page.outcomes.is_empty()));
}

#[tokio::test]
async fn what_never_ends_begins() -> Outcome<()> {
    let server = hostile::add_to(SiteServer::builder()).start()?;
    let download = get(&server, "http://huge-download.hostile.test/").await?;
    assert!(download.head.contains("content-length: 500000000"));
    assert!(download.body.len() > 1 << 20);
    assert!(get(&server, "http://infinite-html.hostile.test/").await?.text().contains("and so on"));
    Ok(())
}
