//! What goes over the queue: jobs (`vigie-job/1`) and results (`vigie-result/1`), as JSON.
//!
//! Machines of two versions may share a queue for a while: fields that are not known are passed over, and a message of
//! another version is left to whoever knows it. Their JSON Schemas are `schemas/job-1.json` and `schemas/result-1.json`; a
//! test keeps both alike.

use crate::{schedule::JobId, store::Job};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use url::Url;

/// The schema of jobs.
pub const JOB: &str = "vigie-job/1";
/// The schema of results.
pub const RESULT: &str = "vigie-result/1";

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMessage {
    /// Always [`JOB`].
    pub schema: String,
    /// The campaign's name.
    pub campaign: String,
    /// The job's number there.
    pub job: i64,
    /// The site's place on the list.
    pub site: i64,
    /// The address.
    pub url: Url,
    /// The registrable domain.
    pub domain: String,
    /// Which repeat.
    pub repeat: u16,
    /// Which attempt.
    pub attempt: u32,
    /// How to inspect.
    pub settings: BTreeMap<String, String>,
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultMessage {
    /// Always [`RESULT`].
    pub schema: String,
    /// The campaign's name.
    pub campaign: String,
    /// The site's place on the list.
    pub site: i64,
    /// Which repeat.
    pub repeat: u16,
    /// Which attempt.
    pub attempt: u32,
    /// The worker that did it.
    pub worker: String,
    /// What it came to.
    pub answer: AnswerMessage,
    /// The bundle's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMessage {
    /// The document.
    Document(String),
    /// The document's place on the shelf, where it is too large for a message.
    DocumentAt(String),
    /// Why there is none.
    Failed(String),
}

/// What tells an attempt from all others of its campaign.
pub type Key = (i64, u16, u32);

impl JobMessage {
    /// Returns a job as a message.
    pub fn new(job: &Job) -> Self {
        Self {
            schema: JOB.to_owned(),
            campaign: job.campaign.clone(),
            job: job.id.0,
            site: job.site,
            url: job.url.clone(),
            domain: job.domain.clone(),
            repeat: job.repeat,
            attempt: job.attempt,
            settings: (*job.settings).clone(),
        }
    }

    /// Returns the job.
    pub fn into_job(self) -> Job {
        Job {
            campaign: self.campaign,
            id: JobId(self.job),
            site: self.site,
            url: self.url,
            domain: self.domain,
            repeat: self.repeat,
            attempt: self.attempt,
            settings: Arc::new(self.settings),
        }
    }
}

impl ResultMessage {
    /// Returns what tells its attempt from all others.
    pub fn key(&self) -> Key {
        (self.site, self.repeat, self.attempt)
    }
}

/// Returns the name by which the queue knows a message again.
pub fn message_id(job: &Job) -> String {
    format!("{}/{}/{}/{}", job.campaign, job.site, job.repeat, job.attempt)
}

/// Reads a message of a schema; `None` if it is none.
pub fn read<'de, T: Deserialize<'de>>(payload: &'de [u8], schema: &str) -> Option<T> {
    #[derive(Deserialize)]
    struct Opening<'a> {
        #[serde(borrow)]
        schema: std::borrow::Cow<'a, str>,
    }
    let opening: Opening<'_> = serde_json::from_slice(payload).ok()?;
    if opening.schema == schema { serde_json::from_slice(payload).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{
        ffi::OsString,
        io::Write,
        path::PathBuf,
        process::{Command, Stdio},
    };

    /// Returns what Python's `jsonschema` has against documents, one a line; a field that is not described is refused too.
    fn against(schema: &str, documents: &[String]) -> Option<String> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let judges = std::env::var_os("VIGIE_JUDGES").unwrap_or_else(|| OsString::from(root.join("target/judges")));
        let mut judge = Command::new(PathBuf::from(judges).join("bin/python"))
            .args([root.join("scripts/check-json.py").as_os_str(), "--closed".as_ref()])
            .arg(root.join("schemas").join(schema))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`sh scripts/setup.sh --judges` installs the judges");
        judge.stdin.take().unwrap().write_all(documents.join("\n").as_bytes()).unwrap();
        let output = judge.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "{said}");
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn job() -> JobMessage {
        JobMessage {
            schema: JOB.to_owned(),
            campaign: "c0ffee".to_owned(),
            job: 1,
            site: 1,
            url: "https://a.test/".parse().unwrap(),
            domain: "a.test".to_owned(),
            repeat: 1,
            attempt: 1,
            settings: BTreeMap::from([("locale".to_owned(), "fr-FR".to_owned())]),
        }
    }

    #[test]
    fn every_job_is_as_its_schema_says() {
        let text = serde_json::to_string(&job()).unwrap();
        assert_eq!(against("job-1.json", &[text]), None);
        let mut spoiled = serde_json::to_value(job()).unwrap();
        spoiled["attempt"] = json!("first");
        spoiled["undescribed"] = json!(true);
        let said = against("job-1.json", &[spoiled.to_string()]).unwrap();
        assert!(said.contains("$.attempt: 'first' is not of type 'integer'") && said.contains("undescribed"), "{said}");
    }

    #[test]
    fn every_result_is_as_its_schema_says() {
        let text = String::new;
        let answers =
            [AnswerMessage::Document(text()), AnswerMessage::DocumentAt(text()), AnswerMessage::Failed(text())];
        let results = answers.map(|answer| {
            let bundle = matches!(answer, AnswerMessage::Document(_)).then(|| "a/b.wacz".to_owned());
            let (campaign, worker) = ("c0ffee".to_owned(), "w".to_owned());
            let schema = RESULT.to_owned();
            ResultMessage { schema, campaign, site: 1, repeat: 1, attempt: 2, worker, answer, bundle }
        });
        let texts = results.map(|result| serde_json::to_string(&result).unwrap());
        assert_eq!(against("result-1.json", &texts), None);
        let spoiled = texts[0].replace("\"document\":", "\"paper\":");
        let said = against("result-1.json", &[texts[1].clone(), spoiled]).unwrap();
        assert!(said.starts_with("$.answer: "), "{said}");
    }
}
