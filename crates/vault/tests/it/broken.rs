//! Disks that fail, power that is lost, files that are changed.

use crate::{copy, event, key, open, record, small};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vigie_vault::{AppendError, FileError, Options, Vault};

#[test]
fn after_a_step_on_the_disk_failed_the_vault_has_stopped_and_keeps_its_promises() {
    // Every step of the play fails once.
    for failing in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let steps = Arc::new(AtomicUsize::new(0));
        let counted = steps.clone();
        let watch = move |_: &Path, doing: &'static str| {
            let step = counted.fetch_add(1, Ordering::Relaxed);
            if step == failing { Err(std::io::Error::other(format!("not {doing}"))) } else { Ok(()) }
        };
        let options = Options { segment_bytes: 700, watch: Some(Arc::new(watch)), ..small() };
        let mut promised = 0;
        if let Ok(vault) = Vault::open(folder.path(), key(), options) {
            let mut stopped = false;
            for number in 0..6 {
                match vault.append(record(number, 0..3)).map(vigie_vault::Ticket::wait) {
                    Ok(Ok(())) => {
                        assert!(!stopped, "nothing is promised after the end");
                        promised = number + 1;
                    }
                    Ok(Err(reason)) => {
                        assert!(reason.to_string().contains(": not "), "{reason}");
                        stopped = true;
                    }
                    Err(error) => {
                        assert!(matches!(error, AppendError::Stopped(_)));
                        stopped = true;
                    }
                }
            }
            assert_eq!(vault.close().is_err(), vault.stopped().is_some());
        }
        let vault = open(folder.path());
        for number in 0..promised {
            assert_eq!(vault.find(event(number)).unwrap(), Some(record(number, 0..3)), "step {failing}");
        }
        assert_eq!(vault.check().len(), 0);
        if failing >= steps.load(Ordering::Relaxed) {
            assert_eq!(promised, 6);
            assert!(failing > 20, "there were {failing} steps only");
            return;
        }
    }
}

#[test]
fn wherever_the_power_is_lost_what_was_promised_is_there() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let taken: Arc<Mutex<Vec<(usize, std::path::PathBuf)>>> = Arc::default();
    let promised = Arc::new(AtomicUsize::new(0));
    let watch = {
        let (taken, promised) = (taken.clone(), promised.clone());
        let (from, to) = (folder.path().to_owned(), copies.path().to_owned());
        move |_: &Path, _: &'static str| {
            let mut taken = taken.lock().unwrap();
            let to = to.join(taken.len().to_string());
            let before = promised.load(Ordering::SeqCst);
            copy(&from, &to);
            taken.push((before, to));
            Ok(())
        }
    };
    let options = Options { segment_bytes: 700, watch: Some(Arc::new(watch)), ..small() };
    let vault = Vault::open(folder.path(), key(), options).unwrap();
    for number in 0..6 {
        vault.append(record(number, 0..3)).unwrap().wait().unwrap();
        promised.fetch_add(1, Ordering::SeqCst);
    }
    vault.close().unwrap();
    let taken = taken.lock().unwrap();
    assert!(taken.len() > 20);
    for (promised, folder) in taken.iter() {
        let vault = open(folder);
        for number in 0..*promised as u64 {
            assert_eq!(vault.find(event(number)).unwrap(), Some(record(number, 0..3)), "{}", folder.display());
        }
        vault.append(record(100, 0..3)).unwrap().wait().unwrap();
        assert!(vault.about(b"1").unwrap().len() > *promised);
        assert_eq!(vault.check().len(), 0);
    }
}

#[test]
fn a_torn_end_is_cut_and_a_changed_byte_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::open(folder.path(), key(), Options::default()).unwrap();
    vault.append(record(0, 0..3)).unwrap().wait().unwrap();
    let path = folder.path().join("0000000000.segment");
    vault.close().unwrap();
    drop(vault);
    let first = std::fs::metadata(&path).unwrap().len() as usize;
    let vault = Vault::open(folder.path(), key(), Options::default()).unwrap();
    vault.append(record(1, 0..60)).unwrap().wait().unwrap();
    let ahead = std::fs::read(&path).unwrap();
    vault.close().unwrap();
    drop(vault);
    let whole = std::fs::read(&path).unwrap();
    assert!(ahead.len() > whole.len() && ahead.starts_with(&whole), "zeros were written ahead, and cut at the end");
    assert!(ahead[whole.len()..].iter().all(|byte| *byte == 0));
    for cut in (first..whole.len()).step_by(7) {
        let zeros = |length| {
            let mut zeros = whole[..cut].to_vec();
            zeros.resize(length, 0);
            zeros
        };
        let (short, long) = (zeros(whole.len()), zeros(ahead.len()));
        // What was not written is missing, or reads as zeros. Less than a sector of zeros cannot come from a torn write.
        let torn = cut <= whole.len() - 512 - 512;
        for (bytes, torn) in [(&whole[..cut], true), (&short, torn), (&long, torn)] {
            if !torn {
                continue;
            }
            std::fs::write(&path, bytes).unwrap();
            let vault = Vault::open(folder.path(), key(), Options::default()).unwrap();
            assert_eq!(vault.find(event(0)).unwrap(), Some(record(0, 0..3)));
            assert_eq!(vault.find(event(1)).unwrap(), None, "cut at {cut}");
            vault.append(record(1, 0..60)).unwrap().wait().unwrap();
            assert_eq!(vault.check().len(), 0);
        }
    }
    for at in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let opened = Vault::open(folder.path(), key(), Options::default());
        // The rest of the head's 128 bytes says nothing, and neither does what fills up a block.
        let Err(error) = opened else {
            let vault = opened.unwrap();
            assert!(vault.find(event(0)).unwrap().is_some() && vault.find(event(1)).unwrap().is_some(), "byte {at}");
            continue;
        };
        let error = error.to_string();
        assert!(error.contains(&format!("`{}`", path.display())), "{error}");
    }
    // Zeros in the place of a block that others follow are no torn end, wherever they begin.
    for at in [128, 160, first - 100] {
        let mut changed = ahead.clone();
        changed[at..first].fill(0);
        std::fs::write(&path, &changed).unwrap();
        let error = Vault::open(folder.path(), key(), Options::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{}` is damaged at byte 128", path.display())), "{error}");
    }
}

#[test]
fn records_handed_in_together_are_durable_when_they_return_and_none_are_after_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.append_together((0..30).map(|number| record(number, 0..3)).collect()).unwrap();
    vault.append(record(30, 0..3)).unwrap().wait().unwrap();
    vault.append_together(vec![record(31, 0..3)]).unwrap();
    assert_eq!(vault.about(b"1").unwrap().len(), 32, "whoever asks hears of what nobody was told of yet");
    assert_eq!(vault.check().len(), 0);
    vault.close().unwrap();
    assert!(matches!(vault.append_together(vec![record(32, 0..3)]), Err(AppendError::Stopped(_))));
    drop(vault);
    let vault = open(folder.path());
    for number in 0..32 {
        assert_eq!(vault.find(event(number)).unwrap(), Some(record(number, 0..3)));
    }
    assert_eq!(vault.find(event(32)).unwrap(), None);
}

#[test]
fn a_record_that_is_damaged_in_a_full_segment_is_named_and_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    for number in 0..40 {
        vault.append(record(number, 0..5)).unwrap().wait().unwrap();
    }
    vault.close().unwrap();
    drop(vault);
    let path = folder.path().join("0000000000.segment");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let vault = open(folder.path());
    let error = vault.find(event(0)).unwrap_err();
    assert!(matches!(&error, FileError::Record { event: named, .. } if *named == event(0)), "{error}");
    assert!(vault.about(b"3").is_err(), "there is no answer in part");
    assert_eq!(vault.find(event(39)).unwrap(), Some(record(39, 0..5)));
    assert_eq!(vault.check().len(), 1);
}

#[test]
fn who_comes_with_too_much_waits_or_is_told_to_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let gate: Arc<(Mutex<bool>, std::sync::Condvar)> = Arc::default();
    let watch = {
        let gate = gate.clone();
        move |path: &Path, doing: &'static str| {
            if doing == "synced" && path.extension().is_some_and(|extension| extension == "segment") {
                let _open = gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap();
            }
            Ok(())
        }
    };
    let size = record(0, 0..3).to_bytes().len();
    let options = Options { max_waiting_bytes: size, watch: Some(Arc::new(watch)), ..small() };
    let vault = Vault::open(folder.path(), key(), options).unwrap();
    let mut tickets = vec![vault.append(record(0, 0..3)).unwrap()];
    // The first is being written or waits; the second waits; a third is too much.
    let error = loop {
        match vault.try_append(record(tickets.len() as u64, 0..3)) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert_eq!(error, AppendError::Full { waiting: size, most: size });
    assert!(tickets.len() <= 2);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
    vault.append(record(9, 0..3)).unwrap().wait().unwrap();
}
