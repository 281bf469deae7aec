//! `vigie-corpus`: inspects every site of a corpus of consent banners and compares with its ground truth.
//!
//! A corpus is a folder of sites, each with a `site.json` that holds what a person verified, and a `serve.py` that
//! serves them on one loopback port. The program under test is run as its users run it, as a process of its own with
//! `inspect --json`; fields that a site lists as ambiguous are left out, as its README asks.
//!
//! Prints a confusion matrix a field, and every difference. A site that differs is inspected once more, because the
//! truth was measured that way too; what differed only once is said. Exit code 1 where a difference stays.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Instant,
};

/// What was asked for on the command line.
struct Options {
    corpus: PathBuf,
    only: Vec<String>,
    jobs: String,
    scenarios: Option<String>,
    save: Option<PathBuf>,
}

/// The serving process; ended with us.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("vigie-corpus: {why}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { corpus: PathBuf::new(), only: Vec::new(), jobs: "1".to_owned(), scenarios: None, save: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--corpus" => options.corpus = value()?.into(),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--jobs" => options.jobs = value()?,
            "--scenarios" => options.scenarios = Some(value()?),
            "--save" => options.save = Some(value()?.into()),
            other => {
                return Err(format!(
                    "`{other}` is not an option; expected --corpus, --only, --jobs, --scenarios or --save"
                ));
            }
        }
    }
    if options.corpus.join("serve.py").is_file() {
        Ok(options)
    } else {
        Err(format!("`{}` is no corpus: it has no serve.py; name one with --corpus DIR", options.corpus.display()))
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let sites = sites(options)?;
    let port = free_port()?;
    let _serving = serve(&options.corpus, port)?;
    let start = Instant::now();
    let mut answers = inspect(options, &sites, port)?;
    let differs = |id: &str, site: &Value, answers: &BTreeMap<String, Value>| match answers.get(id) {
        Some(answer) => compare(id, site, answer, &mut Matrix::default()),
        None => vec!["there is no answer".to_owned()],
    };
    let mut again = sites.clone();
    again.retain(|id, site| {
        let differences = differs(id, site, &answers);
        differences.iter().for_each(|difference| println!("{id} at first: {difference}"));
        !differences.is_empty()
    });
    if !again.is_empty() {
        answers.append(&mut inspect(options, &again, port)?);
    }
    let mut matrix = Matrix::default();
    let mut wrong = 0;
    for (id, site) in &sites {
        let differences = match answers.get(id) {
            Some(answer) => compare(id, site, answer, &mut matrix),
            None => vec!["there is no answer".to_owned()],
        };
        differences.iter().for_each(|difference| println!("{id}: {difference}"));
        wrong += usize::from(!differences.is_empty());
    }
    matrix.disputed.iter().for_each(|why| println!("disputed: {why}"));
    matrix.print();
    let times: Vec<f64> = answers.values().filter_map(|answer| answer["elapsed_s"].as_f64()).collect();
    println!(
        "{} sites in {:.0} s, {:.1} s each on average; {} fields compared",
        sites.len(),
        start.elapsed().as_secs_f64(),
        times.iter().sum::<f64>() / times.len().max(1) as f64,
        matrix.compared,
    );
    println!("{} passed, {wrong} failed", sites.len() - wrong);
    Ok(wrong == 0)
}

fn sites(options: &Options) -> Result<BTreeMap<String, Value>, String> {
    let folder = std::fs::read_dir(&options.corpus).map_err(|error| error.to_string())?;
    let mut sites = BTreeMap::new();
    for entry in folder.flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let wanted = options.only.is_empty()
            || options
                .only
                .iter()
                .any(|only| only.strip_suffix('*').map_or(*only == id, |start| id.starts_with(start)));
        let Ok(text) = std::fs::read_to_string(entry.path().join("site.json")) else { continue };
        if wanted {
            let site = serde_json::from_str(&text).map_err(|error| format!("`{id}/site.json`: {error}"))?;
            sites.insert(id, site);
        }
    }
    Ok(sites)
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn serve(corpus: &Path, port: u16) -> Result<Serving, String> {
    let mut child = Command::new("python3")
        .arg(corpus.join("serve.py"))
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("python3 could not be started to serve the corpus: {error}"))?;
    let output = child.stdout.take().ok_or("the serving process has no output")?;
    let serving = Serving(child);
    // Its first line says that it listens.
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
    if line.is_empty() { Err("the corpus could not be served".to_owned()) } else { Ok(serving) }
}

fn inspect(options: &Options, sites: &BTreeMap<String, Value>, port: u16) -> Result<BTreeMap<String, Value>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("vigie");
    let out = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut command = Command::new(&program);
    command
        .args(["inspect", "--json", "--no-report", "--ignore-certificate-errors", "--jobs", &options.jobs])
        .arg("--out")
        .arg(options.save.as_deref().unwrap_or(out.path()))
        .arg(format!("--chromium-arg=--host-resolver-rules=MAP * 127.0.0.1:{port}, EXCLUDE localhost"));
    if let Some(scenarios) = &options.scenarios {
        command.args(["--scenarios", scenarios]);
    }
    command.args(sites.keys().map(|id| format!("https://{id}.test/")));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{}` could not be started: {error}; build it first", program.display()))?;
    let output = child.stdout.take().ok_or("the program has no output")?;
    let mut answers = BTreeMap::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("the answer is no JSON: {error}"))?;
        let host = answer["site"]["requested_url"].as_str().unwrap_or_default();
        let id = host.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(".test").to_owned();
        eprintln!("{id}: {} in {} s", answer["outcome"].as_str().unwrap_or("?"), answer["elapsed_s"]);
        answers.insert(id, answer);
    }
    child.wait().map_err(|error| error.to_string())?;
    Ok(answers)
}

/// How often which truth was answered how, by field.
#[derive(Default)]
struct Matrix {
    counts: BTreeMap<&'static str, BTreeMap<(String, String), u32>>,
    compared: u32,
    disputed: Vec<String>,
}

impl Matrix {
    fn count(&mut self, field: &'static str, truth: &Value, answer: &Value) {
        self.compared += 1;
        let short = |value: &Value| match value {
            Value::Array(_) | Value::Object(_) => if truth == answer { "the same" } else { "different" }.to_owned(),
            other => other.to_string(),
        };
        let cell = (short(truth), short(answer));
        *self.counts.entry(field).or_default().entry(cell).or_default() += 1;
    }

    fn print(&self) {
        println!("{:<42} {:>12}  {:<12} {:>5}", "field", "truth", "answered", "sites");
        for (field, cells) in &self.counts {
            for ((truth, answer), count) in cells {
                let mark = if truth == answer && truth != "different" { ' ' } else { '*' };
                println!("{mark}{field:<41} {truth:>12}  {answer:<12} {count:>5}");
            }
        }
    }
}

/// A field in which we hold that the truth is not the least: the shorter path was walked and proven.
struct Dispute {
    site: &'static str,
    field: &'static str,
    answered: u32,
    why: &'static str,
}

const DISPUTED: [Dispute; 3] = [
    Dispute {
        site: "plat-google",
        field: "withdrawal_clicks",
        answered: 2,
        why: "the settings come up with every switch off, so saving them at once refuses",
    },
    Dispute {
        site: "tac-fr-implied",
        field: "withdrawal_clicks",
        answered: 2,
        why: "the refusal is stored by the second click; the third only closes the panel, which other sites do not count",
    },
    Dispute {
        site: "tac-fr-middle",
        field: "withdrawal_clicks",
        answered: 2,
        why: "the refusal is stored by the second click; the third only closes the panel, which other sites do not count",
    },
];

/// Compares every field of the truth that an inspection answers. Returns the differences in words.
fn compare(id: &str, site: &Value, answer: &Value, matrix: &mut Matrix) -> Vec<String> {
    let truth = &site["truth"];
    let ambiguous: BTreeSet<&str> =
        site["ambiguous"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut differences = Vec::new();
    let mut check = |field: &'static str, answered: Value| {
        let Some(expected) = truth.get(field) else { return };
        if ambiguous.contains(field) {
            return;
        }
        matrix.count(field, expected, &answered);
        let dispute = DISPUTED.iter().find(|dispute| dispute.site == id && dispute.field == field);
        if let Some(dispute) = dispute.filter(|dispute| answered == dispute.answered) {
            matrix
                .disputed
                .push(format!("{id} {field}: the truth is {expected}, answered {answered}; {}", dispute.why));
        } else if *expected != answered {
            differences.push(format!("{field}: the truth is {expected}, answered {answered}"));
        }
    };
    let banner = &answer["banner"];
    check("banner_present", banner["seen"].clone());
    check("language", banner["language"].clone());
    check("cookies_before_consent", cookies(answer, "S0", id));
    check("storage_before", storage(answer, "S0"));
    check("trackers_before_consent", trackers(answer, "S0"));
    let judged = |scenario: &str| json!(needs_consent(answer, scenario));
    check("nonessential_cookies_before", judged("S0"));
    if banner["seen"] != true {
        return differences;
    }
    let first = &answer["first_layer"];
    check("accept_first_layer", first["accept"].clone());
    check("refuse_first_layer", first["refuse"].clone());
    check("settings_first_layer", first["settings"].clone());
    check("refuse_by_saving_first_layer", first["refuse_by_saving"].clone());
    check("clicks_to_accept", answer["clicks"]["accept"].clone());
    check("clicks_to_refuse", answer["clicks"]["refuse"].clone());
    check("withdrawal_clicks", answer["clicks"]["withdraw"].clone());
    check("withdrawal_possible", json!(!answer["clicks"]["withdraw"].is_null()));
    if !truth["preticked_nonessential"].is_null() {
        let any = answer["preticked"].as_array().is_some_and(|switches| !switches.is_empty());
        check("preticked_nonessential", json!(any));
    }
    check("blocks_page", banner["blocks_page"].clone());
    let closes = match answer["first_layer"]["close_effect"].as_str() {
        Some("dismisses") => json!("dismiss"),
        Some("refuses") => json!("refuse"),
        Some("accepts") => json!("accept"),
        _ => Value::Null,
    };
    check("close_first_layer", closes);
    check("cookies_after_accept", cookies(answer, "S2", id));
    check("storage_after_accept", storage(answer, "S2"));
    check("trackers_after_accept", trackers(answer, "S2"));
    if !truth["clicks_to_refuse"].is_null() {
        check("cookies_after_refuse", cookies(answer, "S1", id));
        check("storage_after_refuse", storage(answer, "S1"));
        check("nonessential_cookies_after_refuse", judged("S1"));
    }
    if !truth["withdrawal_clicks"].is_null() {
        check("cookies_after_withdrawal", cookies(answer, "S3", id));
    }
    differences
}

fn visit<'a>(answer: &'a Value, scenario: &str) -> Option<&'a Value> {
    answer["visits"].as_array()?.iter().find(|visit| visit["scenario"] == scenario)
}

/// Cookies kept in a state, named as the truth names them: third parties with their domain.
fn cookies(answer: &Value, scenario: &str, id: &str) -> Value {
    let Some(visit) = visit(answer, scenario) else { return Value::Null };
    let kept = kept(visit).map(|cookie| name_of(cookie, id));
    json!(kept.collect::<BTreeSet<_>>())
}

fn kept(visit: &Value) -> impl Iterator<Item = &Value> {
    visit["cookies"].as_array().into_iter().flatten().filter(|cookie| cookie["blocked"].is_null())
}

fn name_of(cookie: &Value, id: &str) -> String {
    let (name, domain) = (cookie["name"].as_str().unwrap_or_default(), cookie["domain"].as_str().unwrap_or_default());
    let host = format!("{id}.test");
    if domain == host || domain.ends_with(&format!(".{host}")) { name.to_owned() } else { format!("{name} ({domain})") }
}

fn needs_consent(answer: &Value, scenario: &str) -> bool {
    visit(answer, scenario).is_some_and(|visit| kept(visit).any(|cookie| cookie["exempt"] == false))
}

fn storage(answer: &Value, scenario: &str) -> Value {
    let Some(visit) = visit(answer, scenario) else { return Value::Null };
    let keys = |kind: &str| {
        let items = visit["storage"].as_array().into_iter().flatten().filter(|item| item["kind"] == kind);
        items.filter_map(|item| item["key"].as_str()).collect::<BTreeSet<_>>()
    };
    json!({"local": keys("local"), "session": keys("session")})
}

fn trackers(answer: &Value, scenario: &str) -> Value {
    let Some(visit) = visit(answer, scenario) else { return Value::Null };
    let hosts = visit["trackers"].as_array().into_iter().flatten().filter_map(|tracker| tracker["host"].as_str());
    json!(hosts.collect::<BTreeSet<_>>())
}
