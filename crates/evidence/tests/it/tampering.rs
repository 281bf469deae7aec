//! Whatever is changed is noticed, and filed under the member it was changed in.

use std::{fs, io::Write as _, path::Path};

use vigie_evidence::{Finished, Problem, Report, Roots, verify};

use crate::samples;

fn check(bytes: &[u8]) -> Report {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    verify(file.path(), &Roots::default()).unwrap()
}

/// A part of a container: a member's header and bytes, or its entry in the directory.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    begin: usize,
    data: usize,
    end: usize,
    central: (usize, usize),
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Reads the container on its own, by the specification.
fn parts(bytes: &[u8]) -> Vec<Part> {
    let mut at = u32_at(bytes, bytes.len() - 6);
    let mut parts = Vec::new();
    while &bytes[at..at + 4] == b"PK\x01\x02" {
        let name_bytes = usize::from(bytes[at + 28]);
        let name = String::from_utf8(bytes[at + 46..at + 46 + name_bytes].to_vec()).unwrap();
        let (begin, size) = (u32_at(bytes, at + 42), u32_at(bytes, at + 20));
        let data = begin + 30 + name_bytes;
        parts.push(Part { name, begin, data, end: data + size, central: (at, at + 46 + name_bytes) });
        at += 46 + name_bytes;
    }
    parts
}

/// Returns the member a byte belongs to.
fn owner(parts: &[Part], at: usize) -> String {
    let within = |part: &&Part| (part.begin..part.end).contains(&at) || (part.central.0..part.central.1).contains(&at);
    parts.iter().find(within).map_or("(container)".to_owned(), |part| part.name.clone())
}

/// Writes a container anew, by the specification, from members.
pub fn rebuild(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let offset = bytes.len() as u32;
        let mut common = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32fast::hash(data).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), data].concat());
        directory.extend([&b"PK\x01\x02\x14\x03"[..], &common, &[0; 6], &(0o100_644_u32 << 16).to_le_bytes()].concat());
        directory.extend([&offset.to_le_bytes()[..], name.as_bytes()].concat());
    }
    let (offset, size) = (bytes.len() as u32, directory.len() as u32);
    let count = (members.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &offset.to_le_bytes(), &[0, 0]].concat(),
    );
    bytes
}

pub fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    parts(bytes).into_iter().map(|part| (part.name, bytes[part.data..part.end].to_vec())).collect()
}

fn sample(make: fn(&Path) -> Finished) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    make(&path);
    fs::read(path).unwrap()
}

fn names(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.member.as_str()).collect()
}

/// A sequence of numbers that looks random and is the same each time (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % bound as u64) as usize
    }
}

/// Changes one byte at each of these places and expects the report to name the member it is in.
pub fn flip(bytes: &[u8], places: impl Iterator<Item = usize>, numbers: &mut Numbers) {
    assert_eq!(check(bytes).problems, []);
    let parts = parts(bytes);
    let mut changed = bytes.to_vec();
    for at in places {
        changed[at] ^= 1 + numbers.below(255) as u8;
        let report = check(&changed);
        let owner = owner(&parts, at);
        assert!(names(&report.problems).contains(&owner.as_str()), "byte {at} of {owner}: {:?}", report.problems);
        changed[at] = bytes[at];
    }
}

#[test]
fn every_byte_of_small_bundles_counts() {
    let bytes = sample(samples::empty);
    flip(&bytes, 0..bytes.len(), &mut Numbers(1));
    let bytes = sample(samples::small);
    flip(&bytes, (0..bytes.len()).step_by(3), &mut Numbers(1));
}

#[test]
fn a_thousand_changed_bytes_of_a_large_bundle_are_noticed_and_named() {
    let bytes = sample(samples::rich);
    let mut numbers = Numbers(2);
    let parts = parts(&bytes);
    // By byte, nearly all would fall into the archive: half of them go to members in turn.
    let places: Vec<usize> = (0..1000)
        .map(|turn| {
            if turn % 2 == 0 {
                numbers.below(bytes.len())
            } else {
                let part = &parts[turn / 2 % parts.len()];
                part.begin + numbers.below(part.end - part.begin)
            }
        })
        .collect();
    flip(&bytes, places.into_iter(), &mut numbers);
}

#[test]
fn every_byte_of_the_directory_counts() {
    let bytes = sample(samples::rich);
    let directory = parts(&bytes)[0].central.0;
    flip(&bytes, directory..bytes.len(), &mut Numbers(3));
}

#[test]
fn a_container_written_anew_is_as_good_as_the_first() {
    let bytes = sample(samples::rich);
    assert_eq!(rebuild(&members(&bytes)), bytes, "the container follows from the members");
}

#[test]
fn a_member_taken_out_is_missed_by_name() {
    let bytes = sample(samples::rich);
    let all = members(&bytes);
    for index in 0..all.len() {
        let mut fewer = all.clone();
        let (gone, _) = fewer.remove(index);
        let problems = check(&rebuild(&fewer)).problems;
        assert!(names(&problems).contains(&gone.as_str()), "{gone}: {problems:?}");
    }
}

#[test]
fn a_member_put_in_is_named() {
    let bytes = sample(samples::rich);
    for name in ["vigie/more.json", "vigie/timestamp-2", "vigie/timestamp-0", "vigie/timestamp-01", "x"] {
        let mut more = members(&bytes);
        more.push((name.to_owned(), b"{}".to_vec()));
        assert!(names(&check(&rebuild(&more)).problems).contains(&name), "{name}");
    }
    let mut twice = members(&bytes);
    twice.insert(4, twice[3].clone());
    let problems = check(&rebuild(&twice)).problems;
    assert!(names(&problems).contains(&twice[3].0.as_str()), "{problems:?}");
}

#[test]
fn members_that_changed_places_or_contents_are_named() {
    let bytes = sample(samples::rich);
    let all = members(&bytes);
    for first in 0..all.len() {
        for second in first + 1..all.len() {
            let mut places = all.clone();
            places.swap(first, second);
            let mut contents = places.clone();
            contents[first].0.clone_from(&all[first].0);
            contents[second].0.clone_from(&all[second].0);
            for changed in [places, contents] {
                let problems = check(&rebuild(&changed)).problems;
                let named = names(&problems);
                // Without the list of members, there is nothing to compare the other with.
                let both = [&all[first].0, &all[second].0].into_iter();
                let both: Vec<_> = if problems.iter().any(|problem| problem.what.starts_with("is not the list")) {
                    both.filter(|name| *name == "datapackage.json").collect()
                } else {
                    both.collect()
                };
                assert!(both.iter().all(|name| named.contains(&name.as_str())), "{both:?}: {problems:?}");
            }
        }
    }
}

#[test]
fn a_changed_member_is_noticed_although_the_container_was_made_to_fit() {
    let bytes = sample(samples::rich);
    let all = members(&bytes);
    for index in 0..all.len() {
        let mut changed = all.clone();
        let middle = changed[index].1.len() / 2;
        changed[index].1[middle] ^= 1;
        let problems = check(&rebuild(&changed)).problems;
        assert!(names(&problems).contains(&all[index].0.as_str()), "{}: {problems:?}", all[index].0);
    }
}

#[test]
fn bytes_before_between_and_after_members_are_refused() {
    let bytes = sample(samples::small);
    let parts = parts(&bytes);
    for at in [0, parts[1].begin, parts[0].central.0, parts[1].central.0, bytes.len()] {
        for extra in [&b"x"[..], b"PK\x05\x06", &[0; 100]] {
            let changed = [&bytes[..at], extra, &bytes[at..]].concat();
            assert!(!check(&changed).is_sound(), "{extra:?} at {at}");
        }
    }
    let twice = [&bytes[..], &bytes].concat();
    assert!(!check(&twice).is_sound());
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let bytes = sample(samples::small);
    for len in (0..bytes.len()).step_by(3) {
        assert!(!check(&bytes[..len]).is_sound(), "{len} bytes");
    }
    let parts = parts(&bytes);
    let problems = check(&bytes[..parts[3].end - 1]).problems;
    assert!(names(&problems).contains(&parts[3].name.as_str()), "{problems:?}");
}

#[test]
fn a_bundle_signed_by_another_key_names_the_other_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    let other = vigie_evidence::Key::load_or_create(&folder.path().join("key.pem")).unwrap();
    let writer =
        vigie_evidence::Writer::create(&path, samples::options(vigie_evidence::Expected::NotExpected)).unwrap();
    writer.finish(&other).unwrap();
    let report = verify(&path, &Roots::default()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.facts.signed_by, Some(other.fingerprint()));
    assert_ne!(other.fingerprint(), samples::key().fingerprint());
}
