//! Arguments, errors, exit codes, interruption, a full disk, a browser that is killed.

use crate::{World, as_described, processes_with, trial};
use libtest_mimic::Trial;
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named = |name: &str, check: fn(&World) -> Result<(), String>| trial(world, name.to_owned(), check);
    vec![
        named("bad_input_is_one_sentence_and_exit_code_2", bad_input),
        named("a_host_that_does_not_resolve_is_unreachable_with_exit_code_2", unresolvable),
        named("a_report_is_kept_whole_or_not_at_all", kept),
        named("an_interrupted_inspection_leaves_nothing_behind", interrupted),
        named("what_a_killed_program_left_is_removed_by_the_next", abandoned),
        named("a_killed_browser_is_said_in_one_sentence", killed),
        named("a_full_disk_is_said_in_one_sentence", full_disk),
        named("a_campaign_that_was_killed_goes_on_where_it_was", campaign),
        named("a_build_fails_for_what_is_asked_for_and_not_known", build),
        named("the_doctor_says_what_is_there", doctor),
        named("a_page_without_banner_and_trackers_breaches_nothing", nothing_to_report),
    ]
}

/// Runs and expects exit code 2 with exactly this on standard error, besides a line of help.
fn refused(world: &World, arguments: &[&str], sentence: &str) -> Result<(), String> {
    let output = world.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = said.lines().next().unwrap_or_default();
    if output.status.code() != Some(2) || !output.stdout.is_empty() {
        return Err(format!("{arguments:?}: exit code {:?}, said {said}", output.status.code()));
    }
    if first.contains(sentence) { Ok(()) } else { Err(format!("{arguments:?}: said `{first}`, expected `{sentence}`")) }
}

fn bad_input(world: &World) -> Result<(), String> {
    refused(world, &["inspect", "example.org"], "vigie: `example.org` is not an address")?;
    refused(world, &["inspect", "file:///etc/passwd"], "vigie: `file:///etc/passwd` has the scheme `file`")?;
    refused(world, &["inspect", "gopher://example.org"], "has the scheme `gopher`")?;
    refused(
        world,
        &["inspect", "https://a.test/", "--out", "/proc/nowhere"],
        "vigie: `/proc/nowhere` cannot be written",
    )?;
    refused(
        world,
        &["inspect", "https://a.test/", "--chromium", "/nonexistent"],
        "Chromium at `/nonexistent` could not be started",
    )?;
    refused(world, &["inspect", "https://a.test/", "--viewport", "big"], "viewport `big` is not of the form")?;
    refused(world, &["inspect", "https://a.test/", "--scenarios", "S0,S77"], "scenario `S77` is not known")?;
    refused(world, &["inspect", "https://a.test/", "--chromium", "/bin/false"], "Chromium")?;
    refused(world, &["inspect"], "required")
}

fn unresolvable(world: &World) -> Result<(), String> {
    let out = world.out.path().to_string_lossy().into_owned();
    let output = world.run(&["inspect", "https://does-not-exist.invalid/", "--json", "--out", &out]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
    if output.status.code() != Some(2) || answer["outcome"] != "unreachable" || said.lines().count() != 1 {
        return Err(format!("{:?} {} {said}", output.status.code(), answer["outcome"]));
    }
    Ok(())
}

fn arguments_for(world: &World, url: &str, out: &str) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["inspect", url, "--out", out, "--ignore-certificate-errors", "--scenarios", "S0,S1"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(world.server.chromium_args().iter().map(|argument| format!("--chromium-arg={argument}")));
    arguments
}

fn kept(world: &World) -> Result<(), String> {
    let out = world.out.path().join("kept");
    let arguments = arguments_for(world, "https://two-equal-buttons.test/", &out.to_string_lossy());
    let output = world.vigie(&[]).args(&arguments).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().unwrap_or_default();
    let report = line.strip_prefix("Report   ").ok_or(format!("the last line is `{line}`"))?;
    let page = std::fs::read_to_string(report).map_err(|error| format!("{report}: {error}"))?;
    if !page.contains("two-equal-buttons.test") || page.contains("<script src") {
        return Err("the report is not about the site, or not self-contained".to_owned());
    }
    let mut entries: Vec<String> = std::fs::read_dir(&out)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    entries.sort();
    let ends: Vec<&str> = entries.iter().filter_map(|name| name.rsplit_once('.').map(|(_, end)| end)).collect();
    let hidden = entries.iter().any(|name| name.starts_with('.'));
    if ends == ["html", "wacz"] && !hidden { Ok(()) } else { Err(format!("left behind: {entries:?}")) }
}

/// Starts an inspection of a page that takes its time, and returns once its browser has received something of it.
fn under_way(world: &World, mark: &str) -> Result<std::process::Child, String> {
    let out = world.out.path().join(mark);
    let mut arguments = arguments_for(world, "https://never-idle.hostile.test/", &out.to_string_lossy());
    // An argument that means nothing to Chromium, by which its processes are told from those of other tests.
    arguments.push(format!("--chromium-arg=--vigie-test-{mark}"));
    let child = world
        .vigie(&[])
        .args(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + Duration::from_secs(40);
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    while !entries(&out).any(|spool| entries(&spool.path().join("bodies")).next().is_some()) {
        if Instant::now() > deadline {
            return Err("nothing was received within 40 s".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// Expects that no process and no file is left of an inspection that ended early.
fn nothing_left(world: &World, mark: &str) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    // The program's own command line holds the mark too; it has ended by now.
    while processes_with(&format!("--vigie-test-{mark}")) > 0 {
        if Instant::now() > deadline {
            return Err("processes of the browser are left".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let left = Command::new("find").arg(world.out.path().join(mark)).args(["-mindepth", "1"]).output();
    let left = left.map_err(|error| error.to_string())?.stdout;
    let left = String::from_utf8_lossy(&left);
    if left.is_empty() { Ok(()) } else { Err(format!("files of an unfinished inspection are left:\n{left}")) }
}

fn abandoned(world: &World) -> Result<(), String> {
    let mut child = under_way(world, "abandoned")?;
    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
    let out = world.out.path().join("abandoned");
    let spools = || {
        let entries = std::fs::read_dir(&out).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".vigie-")).count()
    };
    if spools() != 1 {
        return Err(format!("{} spools are left by a program that was killed, expected one", spools()));
    }
    world.run(&["inspect", "https://does-not-exist.invalid/", "--no-report", "--out", &out.to_string_lossy()]);
    if spools() == 0 { Ok(()) } else { Err("the next program left it where it was".to_owned()) }
}

fn interrupted(world: &World) -> Result<(), String> {
    let child = under_way(world, "interrupted")?;
    signal(child.id(), nix::sys::signal::Signal::SIGINT)?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) || !said.starts_with("vigie: interrupted") {
        return Err(format!("{:?}: {said}", output.status.code()));
    }
    nothing_left(world, "interrupted")
}

fn killed(world: &World) -> Result<(), String> {
    let child = under_way(world, "killed")?;
    let browser = browser_of(child.id()).ok_or("the browser's main process was not found")?;
    signal(browser, nix::sys::signal::Signal::SIGKILL)?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) || !said.starts_with("vigie: Chromium ended") {
        return Err(format!("{:?}: {said}", output.status.code()));
    }
    nothing_left(world, "killed")
}

fn signal(process: u32, signal: nix::sys::signal::Signal) -> Result<(), String> {
    let process = i32::try_from(process).map_err(|error| error.to_string())?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), signal).map_err(|error| error.to_string())
}

/// Returns the child of a process that was given a remote debugging pipe.
fn browser_of(parent: u32) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let above: u32 = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        (above == parent).then_some(id)
    })
}

/// `/dev/full` is a device on which every write fails as on a full disk; a small tmpfs would need rights to mount.
fn full_disk(world: &World) -> Result<(), String> {
    let arguments = arguments_for(world, "https://no-banner.test/", &world.out.path().to_string_lossy());
    let output =
        world.vigie(&[]).args(&arguments).env("TMPDIR", "/dev/full").output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(2) && said.contains("a temporary profile could not be made in `/dev/full`") {
        Ok(())
    } else {
        Err(format!("{:?}: {said}", output.status.code()))
    }
}

/// Three sites of one domain each; killed while it is at one of them.
fn campaign(world: &World) -> Result<(), String> {
    let folder = world.out.path().join("campaign");
    let list = world.out.path().join("sites.csv");
    let sites =
        "https://no-banner.test/,plain\nhttps://two-equal-buttons.test/,fair\nhttps://accept-twice.test/,unfair\n";
    std::fs::write(&list, sites).map_err(|error| error.to_string())?;
    let mut start =
        world.vigie(&["campaign", "run", "--quiet", "--scenarios", "S0,S1,S2", "--ignore-certificate-errors"]);
    start.arg(&list).arg("--out").arg(&folder);
    start.args(world.server.chromium_args().iter().map(|argument| format!("--chromium-arg={argument}")));
    let mut child = start.stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_secs(6));
    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
    let output = world.vigie(&["campaign", "resume", "--json"]).arg(&folder).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
    if answer["complete"] != true || answer["done"] != 3 || output.status.code() != Some(1) {
        return Err(format!("{:?} {answer} {said}", output.status.code()));
    }
    as_described("campaign-1.json", &[answer])?;
    let tables = world
        .vigie(&["campaign", "export", "--format", "csv", "--json"])
        .arg(&folder)
        .output()
        .map_err(|e| e.to_string())?;
    let tables = serde_json::from_slice(&tables.stdout).map_err(|error| error.to_string())?;
    as_described("campaign-files-1.json", &[tables])?;
    let page = std::fs::read_to_string(folder.join("summary.html")).map_err(|error| error.to_string())?;
    let n_bundles = std::fs::read_dir(folder.join("bundles"))
        .map_err(|error| error.to_string())?
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "wacz"))
        .count();
    if page.contains("unfair") && n_bundles >= 3 { Ok(()) } else { Err(format!("{n_bundles} bundles")) }
}

fn build(world: &World) -> Result<(), String> {
    let out = world.out.path().join("build");
    let file = |name: &str| out.join(name).to_string_lossy().into_owned();
    let mut arguments = arguments_for(world, "https://accept-twice.test/", &out.to_string_lossy());
    arguments.extend(["--quiet", "--no-report"].map(str::to_owned));
    let run = |more: &[String]| {
        let output = world.vigie(&[]).args(&arguments).args(more).output();
        output.map(|output| output.status.code()).map_err(|error| error.to_string())
    };
    let option = |name: &str, value: String| format!("--{name}={value}");
    let written = [option("write-baseline", file("known.json")), option("sarif", file("vigie.sarif"))];
    let first = run(&written)?;
    let known = run(&[option("baseline", file("known.json")), option("junit", file("vigie.xml"))])?;
    let other = run(&[option("fail-on", "CK-36".to_owned())])?;
    if (first, known, other) != (Some(1), Some(0), Some(0)) {
        return Err(format!("exit codes {first:?}, {known:?}, {other:?}"));
    }
    let sarif = std::fs::read(file("vigie.sarif")).map_err(|error| error.to_string())?;
    let sarif: serde_json::Value = serde_json::from_slice(&sarif).map_err(|error| error.to_string())?;
    let junit = std::fs::read_to_string(file("vigie.xml")).map_err(|error| error.to_string())?;
    let is_told = sarif["runs"][0]["results"].as_array().is_some_and(|results| results.len() == 40);
    if is_told && junit.contains("failures=\"0\"") { Ok(()) } else { Err("SARIF or JUnit lack something".to_owned()) }
}

fn doctor(world: &World) -> Result<(), String> {
    let output = world.run(&["doctor", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    if answer["good"] != true || output.status.code() != Some(0) {
        return Err(answer.to_string());
    }
    let output = world.run(&["doctor", "--chromium", "/nonexistent"]);
    if output.status.code() == Some(1) { Ok(()) } else { Err(format!("{:?}", output.status.code())) }
}

fn nothing_to_report(world: &World) -> Result<(), String> {
    let answers = world.inspect(&["https://no-banner.test/".to_owned()], &["--scenarios", "S0"]);
    let answer = answers.values().next().ok_or("there is no answer")?;
    let breaches: Vec<_> =
        answer["findings"].as_array().into_iter().flatten().filter(|finding| finding["verdict"] == "breach").collect();
    if breaches.is_empty() { Ok(()) } else { Err(format!("{breaches:?}")) }
}
