//! Files that were changed, or are gone.

use crate::{disk::Disk, event, new_home};
use std::{sync::Arc, time::Duration};
use vigie_sequencer::{AppendError, Batch, Home, Log, Options, Refused, Stream};

fn options(disk: &Disk) -> Options {
    Options { publish_every: Duration::ZERO, segment_bytes: 8192, files: Arc::new(disk.clone()), ..Options::default() }
}

fn filled(home: &Home, count: u64) -> Disk {
    let disk = Disk::of(home.folder());
    let log = Log::open(home, options(&disk)).unwrap();
    let events: Vec<_> = (0..count).map(event).collect();
    log.append_many(Batch::try_from(events.as_slice()).unwrap()).unwrap().wait().unwrap();
    log.close().unwrap();
    disk
}

fn reopen(home: &Home, disk: &Disk) -> Result<(), String> {
    let log = Log::open(home, options(disk)).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    })?;
    log.append(&event(9_999)).unwrap().wait().map_err(|error| error.to_string())?;
    log.close().map_err(|error| error.to_string())
}

#[test]
fn a_flipped_bit_in_each_kind_of_file_is_named_when_the_log_is_opened() {
    let (_folder, home) = new_home(Stream::Events, None);
    for name in [
        "head",
        "public/checkpoint",
        "public/tile/0/001.p/44",
        "public/tile/0/000",
        "public/tile/1/000.p/1",
        "public/tile/entries/001.p/44",
    ] {
        let path = home.folder().join(name);
        let mut bytes = 0;
        filled(&home, 300).damage(&path, |content| bytes = content.len());
        for at in [0, bytes / 3, bytes / 2, bytes - 2] {
            let disk = filled(&home, 300);
            disk.damage(&path, |content| content[at] ^= 4);
            let error = reopen(&home, &disk).expect_err(name);
            // A tile above and the one below disagree: the entries decide which is named, but above full tiles both may be.
            let named = error.contains(&format!("`{}` is damaged", path.display()));
            assert!(named, "{name}, byte {at}: {error}");
        }
    }
}

#[test]
fn a_partial_tile_that_is_gone_is_made_again_and_a_bundle_that_is_gone_is_named() {
    let (_folder, home) = new_home(Stream::Events, None);
    let disk = filled(&home, 300);
    for name in ["public/tile/0/001.p/44", "public/tile/1/000.p/1"] {
        vigie_sequencer::files::Files::remove(&disk, &home.folder().join(name)).unwrap();
    }
    reopen(&home, &disk).unwrap();
    let disk = filled(&home, 300);
    let path = home.folder().join("public/tile/entries/001.p/44");
    vigie_sequencer::files::Files::remove(&disk, &path).unwrap();
    assert_eq!(reopen(&home, &disk).unwrap_err(), format!("`{}` is damaged: it is missing", path.display()));
}

#[test]
fn a_second_writer_is_refused_in_one_sentence() {
    let (_folder, home) = new_home(Stream::Opaque, None);
    let log = Log::open(&home, Options::default()).unwrap();
    let error = Log::open(&home, Options::default()).unwrap_err();
    let expected = format!("another program writes the log in `{}`; a log has one writer", home.folder().display());
    assert_eq!(error.to_string(), expected);
    log.close().unwrap();
    Log::open(&home, Options::default()).unwrap();
}

#[test]
fn a_repeat_is_the_first_again_and_other_content_is_refused_before_and_after_a_restart() {
    let (_folder, home) = new_home(Stream::Events, None);
    for _ in 0..2 {
        let log = Log::open(&home, Options::default()).unwrap();
        let appended = log.append(&event(5)).unwrap().wait().unwrap();
        assert_eq!(log.append(&event(5)).unwrap().wait().unwrap(), appended);
        let mut other = event(5);
        other[147] ^= 1;
        let error = log.append(&other).unwrap().wait().unwrap_err();
        assert!(matches!(error, AppendError::Refused(Refused::Repeated { index: 0, .. })), "{error}");
        assert_eq!(log.statistics().durable, 1);
        log.close().unwrap();
    }
}

#[test]
fn a_heartbeat_never_goes_back() {
    let (_folder, home) = new_home(Stream::Events, None);
    for _ in 0..2 {
        let log = Log::open(&home, Options::default()).unwrap();
        log.beat(1_700_000_100).unwrap().wait().unwrap();
        let error = log.beat(1_700_000_000).unwrap().wait().unwrap_err().to_string();
        assert_eq!(error, "heartbeat is of the time 1699999980, before the last one at 1700000100");
        log.close().unwrap();
    }
}
