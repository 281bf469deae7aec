//! Protocols, hosts, settings, trackers, the log.

use crate::client::{Outcome, ask, connect, get};
use std::{fs, time::Duration};
use vigie_testkit::{Answer, AnswerBody, AnsweredBy, SiteServer, TlsFault};

/// A server with one site `shop`, whose banner lives on another host.
fn shop() -> Outcome<(tempfile::TempDir, SiteServer)> {
    let folder = tempfile::tempdir()?;
    let site = folder.path().join("shop");
    fs::create_dir_all(site.join("_hosts/banner.shop-partner.test"))?;
    fs::create_dir_all(folder.path().join("no-index"))?;
    fs::write(site.join("index.html"), "<title>Shop</title>")?;
    fs::write(site.join("a.js"), "1")?;
    fs::write(site.join("legal.html"), "legal")?;
    fs::write(site.join("_hosts/banner.shop-partner.test/index.html"), "banner")?;
    fs::write(
        site.join("site.json"),
        r#"{ "id": "shop", "server": { "set_cookie": ["sid=1; Path=/; HttpOnly"], "pages": { "/old": "legal.html" },
             "consent_api": { "path": "/api/choice", "cookie": "choice" } } }"#,
    )?;
    let server = SiteServer::builder().folder_of_sites(folder.path()).start()?;
    Ok((folder, server))
}

#[tokio::test]
async fn one_port_answers_both_protocols() -> Outcome<()> {
    let (_folder, server) = shop()?;
    for url in ["http://shop.test/", "https://shop.test/", "https://www.shop.test/index.html"] {
        let reply = get(&server, url).await?;
        assert_eq!((reply.status(), reply.text().as_str()), (200, "<title>Shop</title>"), "{url}");
    }
    assert_eq!(server.requests().iter().map(|served| served.request.tls).collect::<Vec<_>>(), [false, true, true]);
    Ok(())
}

#[tokio::test]
async fn hosts_are_told_apart() -> Outcome<()> {
    let (_folder, server) = shop()?;
    assert_eq!(server.hosts(), ["banner.shop-partner.test", "shop.test", "www.shop.test"]);
    assert_eq!(get(&server, "http://banner.shop-partner.test/").await?.text(), "banner");
    assert_eq!(get(&server, "http://SHOP.test:80/a.js").await?.text(), "1");
    assert_eq!(get(&server, "http://no-index.test/").await?.status(), 404);
    let by: Vec<_> = server.requests().into_iter().map(|served| served.by).collect();
    assert_eq!(by, [AnsweredBy::Site, AnsweredBy::Site, AnsweredBy::Nobody]);
    Ok(())
}

#[tokio::test]
async fn a_path_without_a_file_stays_on_the_site() -> Outcome<()> {
    let (_folder, server) = shop()?;
    let about = get(&server, "http://shop.test/about").await?;
    assert_eq!(about.status(), 200);
    assert!(about.text().contains("<a href=\"/\">Home</a>"));
    assert_eq!(get(&server, "http://shop.test/old").await?.text(), "legal");
    assert_eq!(get(&server, "http://shop.test/legal").await?.text(), "legal");
    assert_eq!(get(&server, "http://shop.test/b.js").await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn a_fixture_s_own_files_are_not_served() -> Outcome<()> {
    let (_folder, server) = shop()?;
    for path in
        ["site.json", "_hosts/banner.shop-partner.test/index.html", "../shop/site.json", "%2e%2e/shop/site.json"]
    {
        assert!(!get(&server, &format!("http://shop.test/{path}")).await?.text().contains("server"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn settings_set_cookies_once_and_keep_choices() -> Outcome<()> {
    let (_folder, server) = shop()?;
    assert!(get(&server, "http://shop.test/").await?.head.contains("set-cookie: sid=1; Path=/; HttpOnly"));
    assert!(!get(&server, "http://shop.test/a.js").await?.head.contains("set-cookie"));
    let again = ask(&server, "GET", "http://shop.test/", "Cookie: a=b; sid=1\r\n", "").await?;
    assert!(!again.head.contains("set-cookie"));

    let kept = ask(&server, "POST", "http://shop.test/api/choice", "", "refuse all").await?;
    assert!(kept.head.contains("set-cookie: choice=refuse%20all;"));
    let told = ask(&server, "GET", "http://shop.test/api/choice", "Cookie: choice=refuse%20all\r\n", "").await?;
    assert_eq!(told.text(), r#"{"choice":"refuse all"}"#);
    Ok(())
}

#[tokio::test]
async fn trackers_answer_under_the_names_of_real_ones() -> Outcome<()> {
    let (_folder, server) = shop()?;
    let script = get(&server, "https://www.googletagmanager.com/gtag/js?id=G-AB12CD34EF").await?;
    assert!(script.text().contains("keep('_ga_AB12CD34EF'"));
    let pixel = get(&server, "https://www.facebook.com/tr/?id=1").await?;
    assert!(pixel.head.contains("set-cookie: fr=0"));
    assert_eq!(pixel.body.len(), 43);
    let synchronisation = get(&server, "https://sync.mirrorbid.test/s").await?;
    assert!(synchronisation.head.contains("location: https://collect.pulsegrid.test/"));
    assert!(get(&server, "http://metrics.shop.test/p.gif").await?.head.contains("Domain=shop.test"));
    assert_eq!(get(&server, "http://metrics.elsewhere.test/p.gif").await?.status(), 404);
    assert_eq!(get(&server, "https://www.facebook.com/else").await?.status(), 404);
    let trackers = server.requests().into_iter().filter(|served| served.by == AnsweredBy::Tracker);
    assert_eq!(trackers.count(), 5);
    Ok(())
}

#[tokio::test]
async fn routes_come_first_and_may_be_patterns() -> Outcome<()> {
    let server = SiteServer::builder()
        .route("api.test", "/v1/*", |request| Answer::text(201, request.target()))
        .route("*.many.test", "/", |request| Answer::text(200, request.host.clone()))
        .route("www.facebook.com", "/tr", |_| Answer::text(500, "ours"))
        .start()?;
    assert_eq!(get(&server, "http://api.test/v1/a?b=c").await?.text(), "/v1/a?b=c");
    assert_eq!(get(&server, "http://api.test/v2").await?.status(), 404);
    assert_eq!(get(&server, "http://x.many.test/").await?.text(), "x.many.test");
    assert_eq!(get(&server, "http://www.facebook.com/tr").await?.status(), 500);
    assert_eq!(server.requests_to("api.test").len(), 2);
    server.forget_requests();
    assert!(server.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn bodies_break_stream_and_stay_silent() -> Outcome<()> {
    let silent = || Answer::without_head(AnswerBody::Silence);
    let stream =
        AnswerBody::Stream { lead: "<".into(), chunk: "abc".into(), total: Some(7), pause: Duration::from_millis(1) };
    let server = SiteServer::builder()
        .route("odd.test", "/silent", move |_| silent())
        .route("odd.test", "/hang-up", |_| Answer::without_head(AnswerBody::HangUp))
        .route("odd.test", "/cut", |_| Answer::html("").with_body(AnswerBody::Cut("half".into())))
        .route("odd.test", "/stream", move |_| Answer::html("").with_body(stream.clone()))
        .tls_fault("odd.test", TlsFault::HangUp)
        .tls_fault("plain.test", TlsFault::NotTls)
        .start()?;
    assert_eq!(get(&server, "http://odd.test/silent").await?.status(), 0);
    assert_eq!(get(&server, "http://odd.test/hang-up").await?.status(), 0);
    let cut = get(&server, "http://odd.test/cut").await?;
    assert!(cut.text().contains("half") && !cut.text().ends_with("0\r\n\r\n"), "{cut:?}");
    assert_eq!(get(&server, "http://odd.test/stream").await?.text(), "<abcabc");
    assert!(get(&server, "https://odd.test/").await.is_err());
    assert!(get(&server, "https://plain.test/").await.is_err());
    Ok(())
}

#[tokio::test]
async fn dropping_the_server_frees_its_port_and_cuts_what_hangs() -> Outcome<()> {
    let server = SiteServer::builder().route("odd.test", "/", |_| Answer::without_head(AnswerBody::Silence)).start()?;
    let address = server.address();
    let _idle = connect(address).await?;
    drop(server);
    assert!(connect(address).await.is_err());
    Ok(())
}

#[test]
fn a_site_file_that_says_something_else_is_reported_with_its_path() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let site = folder.path().join("shop");
    fs::create_dir_all(&site)?;
    fs::write(site.join("index.html"), "")?;
    fs::write(site.join("site.json"), r#"{ "server": { "cookies": [] } }"#)?;
    let error = SiteServer::builder().folder_of_sites(folder.path()).start().err().ok_or("it must not start")?;
    assert!(error.to_string().contains("site.json"));
    let missing = folder.path().join("missing");
    assert!(SiteServer::builder().folder_of_sites(missing).start().is_err());
    Ok(())
}
