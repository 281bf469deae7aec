//! Campaigns: many sites, each inspected once or several times, and one page with the numbers a report quotes.
//!
//! A list of addresses goes in; a folder with every answer, tables and a summary comes out. How one site is inspected
//! is not known here: the caller hands in an asynchronous function that returns the document `vigie-inspection/1`.
//!
//! In reading order: the [`list`](mod@list) of sites and the [`settings`] of a campaign; the [`schedule`], which
//! decides what may be inspected when, and is pure; the [`store`], where a site is finished exactly when its result is
//! committed; the [`runner`], which joins the three; the [`document`] as far as a campaign reads it. Then what is made
//! of the results: how often answers differ between repeats ([`repeats`]), [`statistics`], the [`summary`] page and the
//! [`export`] to Parquet and CSV. Last, what takes more than one machine: the [`queue`] and the [`shelf`] for bundles.
//!
//! The surprise: the same schedule paces one machine and many. A coordinator hands a job to the queue where the local
//! runner would start an inspection, so a site's operator sees one visitor at a time in both cases.
//!
//! # Example
//!
//! ```
//! # use std::num::NonZeroUsize;
//! use vigie_campaign::{Campaign, Difference, Done, List, Settings, runner};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! # runtime.block_on(async {
//! let list = List::parse("https://a.example/,news\nhttps://b.example/,shop\n")?;
//! let (campaign, opened) = Campaign::open(folder, Some(&list), &Settings::default(), Difference::Refuse)?;
//! assert_eq!(opened.added, 2);
//! let inspect = |job: vigie_campaign::Job| async move {
//!     Ok(Done::new(format!(r#"{{"schema":"vigie-inspection/1","outcome":"inspected","site":{{"host":"{}"}}}}"#, job.domain)))
//! };
//! let ran = runner::run(&campaign, NonZeroUsize::MIN, inspect, &runner::Unwatched, std::future::pending()).await?;
//! assert_eq!(ran.progress.done, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod list;
pub mod settings;

pub mod schedule;

pub mod document;
pub mod store;

pub mod runner;

pub mod repeats;
pub mod statistics;

pub mod export;
pub mod summary;

pub mod queue;
pub mod shelf;

pub use list::List;
pub use runner::{Done, Observer, Progress};
pub use settings::Settings;
pub use store::{Campaign, CampaignError, Difference, Job, Reading};
