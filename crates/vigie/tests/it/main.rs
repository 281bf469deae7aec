//! The program as its users run it: a process of its own, a real Chromium, the fixture sites and the hostile pages.
//!
//! All fixture sites are inspected by one process, all hostile pages by another; each site is then a test of its own,
//! so that a failure names its site.

mod banner;
mod bundles;
mod command_line;
mod deployment;
mod fixtures;
mod gateway;
mod hostile;
mod ledger;
mod repeats;
mod transfers;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, OnceLock},
};
use vigie_testkit::{SiteServer, expected::fixture_sites, hostile as pages};

/// What all tests share.
pub struct World {
    server: SiteServer,
    out: tempfile::TempDir,
    fixtures: OnceLock<BTreeMap<String, Value>>,
    hostile: OnceLock<BTreeMap<String, Value>>,
}

fn main() {
    let mut arguments = Arguments::from_args();
    // One after the other: each test drives a browser with all the processors there are.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let builder = SiteServer::builder().folder_of_sites(fixture_sites());
    let server = banner::add_to(pages::add_to(builder)).start().expect("a loopback port is free");
    let out = tempfile::tempdir().expect("there is room for temporary files");
    let world = Arc::new(World { server, out, fixtures: OnceLock::new(), hostile: OnceLock::new() });
    let mut trials = Vec::new();
    trials.extend(command_line::trials(&world));
    trials.extend(fixtures::trials(&world));
    trials.extend(bundles::trials(&world));
    trials.extend(repeats::trials(&world));
    trials.extend(hostile::trials(&world));
    trials.extend(ledger::trials(&world));
    trials.extend(gateway::trials(&world));
    trials.extend(transfers::trials(&world));
    trials.extend(banner::trials(&world));
    trials.extend(deployment::trials(&world));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(world);
    conclusion.exit();
}

impl World {
    /// Returns the program with these arguments, not yet started.
    fn vigie(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.args(arguments).stdin(Stdio::null()).env("VIGIE_HOME", self.out.path().join("home"));
        command
    }

    /// Runs the program to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.vigie(arguments).output().expect("the program can be started")
    }

    /// Inspects addresses in one process and returns the answers by the address asked for.
    fn inspect(&self, urls: &[String], options: &[&str]) -> BTreeMap<String, Value> {
        let answers = self.inspect_each(urls, options).into_iter();
        answers
            .map(|answer| (answer["site"]["requested_url"].as_str().unwrap_or_default().to_owned(), answer))
            .collect()
    }

    /// Inspects addresses in one process and returns the answers in the order in which they came.
    fn inspect_each(&self, urls: &[String], options: &[&str]) -> Vec<Value> {
        let mut command = self.vigie(&["inspect", "--json", "--no-report", "--ignore-certificate-errors"]);
        command.arg("--out").arg(self.out.path()).args(options).args(urls);
        for argument in self.server.chromium_args() {
            command.arg(format!("--chromium-arg={argument}"));
        }
        let output = command.stderr(Stdio::inherit()).output().expect("the program can be started");
        let text = String::from_utf8(output.stdout).expect("the answer is UTF-8");
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON")).collect()
    }
}

/// Returns what a check says of an answer, or, if it fails, of a second answer that is asked for alone: what a busy
/// machine cut short is no fault of the program, what fails twice is.
fn twice(
    world: &World,
    url: &str,
    options: &[&str],
    first: &Value,
    check: impl Fn(&Value) -> Result<(), String>,
) -> Result<(), String> {
    check(first).or_else(|why| {
        eprintln!("{url}, at first: {why}");
        let again = world.inspect(&[url.to_owned()], options);
        check(again.get(url).unwrap_or(&Value::Null))
    })
}

/// Returns a test that runs `check`, whose text is what went wrong.
fn trial(world: &Arc<World>, name: String, check: impl FnOnce(&World) -> Result<(), String> + Send + 'static) -> Trial {
    let world = Arc::clone(world);
    Trial::test(name, move || check(&world).map_err(Failed::from))
}

/// Holds documents against a schema of ours, by Python's `jsonschema`; a field that is not described is refused too. A copy
/// of the first without its `schema` has to be refused, or the judge does not look.
fn as_described(schema: &str, documents: &[Value]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let against = |documents: &[Value]| -> Result<Output, String> {
        let lines: Vec<String> = documents.iter().map(Value::to_string).collect();
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join("documents");
        std::fs::write(&path, lines.join("\n")).map_err(|error| error.to_string())?;
        let input = std::fs::File::open(&path).map_err(|error| error.to_string())?;
        let mut judge = Command::new(root.join("target/judges/bin/python"));
        judge.arg(root.join("scripts/check-json.py")).arg("--closed").arg(root.join("schemas").join(schema));
        judge.stdin(input).output().map_err(|error| format!("{error}; run `scripts/setup.sh --judges`"))
    };
    let output = against(documents)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(format!("{schema}: {}", String::from_utf8_lossy(&said)));
    }
    let mut spoiled = documents.first().cloned().ok_or("there is no document")?;
    spoiled.as_object_mut().ok_or("a document is no object")?.remove("schema");
    let said = String::from_utf8_lossy(&against(&[spoiled])?.stdout).into_owned();
    if said.contains("'schema' is a required property") { Ok(()) } else { Err(format!("{schema} lets pass: {said}")) }
}

/// Returns processes whose command line holds a text.
fn processes_with(text: &str) -> usize {
    let running = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let holds = |path: &Path| std::fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.contains(text));
    running.filter(|entry| holds(&entry.path())).count()
}
