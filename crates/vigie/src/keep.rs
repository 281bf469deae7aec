//! Keeping an inspection: a bundle and a report, each there whole or not at all.
//!
//! Everything is written under a name that begins with a dot and renamed at the end. If we stop before that, what is
//! left is plainly unfinished and nobody takes it for evidence.

use crate::{arguments::Common, fault::Fault};
use std::{
    fs::File,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use vigie_browser::{Spool, spool::SPOOL_BYTES};
use vigie_evidence::{Bundle, Finished, Key, Roots, WriteError};
use vigie_inspection::{
    bundle::{self, BundleError, Contents},
    evidence::Evidence,
};

pub use vigie_ledger::in_full;

/// Returns the folder below which everything is kept.
pub fn home(common: &Common) -> Result<PathBuf, Fault> {
    if let Some(home) = &common.home {
        return Ok(home.clone());
    }
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| from("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("vigie"))
        .ok_or(Fault::NoHome)
}

/// Makes a folder and makes sure that it can be written, before anything is done whose result would go there.
pub fn prepare(folder: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::Unwritable { path: folder.to_owned(), why: reason(&error) };
    std::fs::create_dir_all(folder).map_err(failed)?;
    remove_abandoned(folder);
    tempfile::Builder::new().prefix(".vigie-").tempfile_in(folder).map_err(failed)?;
    Ok(())
}

/// Returns the key that signs bundles; makes it at first use.
pub fn key(common: &Common) -> Result<Key, Fault> {
    let path = home(common)?.join("signing-key.pem");
    Key::load_or_create(&path).map_err(|error| Fault::Key { why: in_full(&error) })
}

/// A folder for what visits leave behind, gone with the value.
pub struct TemporarySpool {
    /// What is in it.
    pub contents: Arc<Spool>,
    _folder: tempfile::TempDir,
    // The system lets go of the lock when the program ends, however it ends.
    _owner: File,
}

impl Drop for TemporarySpool {
    fn drop(&mut self) {
        // A folder into which somebody writes cannot be removed.
        self.contents.close();
    }
}

/// How the folders of spools begin.
const SPOOL_PREFIX: &str = ".vigie-";

/// The file in a spool's folder that its owner holds locked.
const OWNER: &str = "owner.lock";

/// Makes a spool beside where the bundle will be, so that there is room for both or for neither.
pub fn spool(out: &Path) -> Result<TemporarySpool, Fault> {
    let failed = |error: std::io::Error| Fault::Unwritable { path: out.to_owned(), why: reason(&error) };
    // Between making the file and locking it, another program may take the folder for abandoned; then one more is made.
    for _ in 0..100 {
        let folder = tempfile::Builder::new().prefix(SPOOL_PREFIX).tempdir_in(out).map_err(failed)?;
        let path = folder.path().join(OWNER);
        let Ok(owner) = File::create(&path) else { continue };
        if owner.try_lock().is_err() || !path.exists() {
            continue;
        }
        let contents = Spool::new(folder.path(), SPOOL_BYTES).map_err(failed)?;
        return Ok(TemporarySpool { contents: Arc::new(contents), _folder: folder, _owner: owner });
    }
    Err(failed(std::io::Error::other("no folder could be made there that stays")))
}

/// Removes the folders of spools whose owners are gone, killed before they could. What is still owned, and what cannot
/// be removed, stays: it is in nobody's way.
fn remove_abandoned(out: &Path) {
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        let is_spool = entry.file_name().to_string_lossy().starts_with(SPOOL_PREFIX);
        if !is_spool || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let owner = File::options().read(true).write(true).open(entry.path().join(OWNER));
        // The lock is held until the folder is gone, so that nobody takes it meanwhile.
        if let Ok(owner) = owner
            && owner.try_lock().is_ok()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes a bundle below `out` and returns it. A name that is taken gets a number; nothing is ever replaced.
///
/// # Errors
///
/// If it cannot be written; then nothing of it is left.
pub fn bundle(out: &Path, name: &str, contents: &Contents<'_>, key: &Key) -> Result<Finished, Fault> {
    for attempt in 0..1000 {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let path = out.join(format!("{name}{suffix}.wacz"));
        match bundle::write(&path, contents, key) {
            Ok(finished) => return Ok(finished),
            Err(BundleError::Write(WriteError::Exists { .. })) => {}
            Err(error) => return Err(Fault::Unwritable { path, why: in_full(&error) }),
        }
    }
    Err(Fault::Unwritable { path: out.join(name), why: "a thousand inspections have that name".to_owned() })
}

/// The evidence of a bundle, and the bundle.
pub struct KeptEvidence {
    /// What was observed.
    pub evidence: Evidence,
    /// The bundle that holds it.
    pub bundle: Bundle,
    /// The bundle's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The bundle's seal, in hexadecimal: the hash that covers it but for timestamps.
    pub seal: String,
}

/// Reads the evidence of a bundle that is what was signed.
///
/// # Errors
///
/// If it cannot be read, was changed, or holds no evidence of this version.
pub fn evidence(path: &Path) -> Result<KeptEvidence, Fault> {
    let unusable = |why: String| Fault::Evidence { path: path.to_owned(), why };
    let bundle = Bundle::open(path).map_err(|error| unusable(in_full(&error)))?;
    let report = bundle.verify(&Roots::default()).map_err(|error| unusable(in_full(&error)))?;
    if let Some(problem) = report.problems.first() {
        return Err(unusable(format!("it was changed since it was signed, {problem}; see `vigie verify`")));
    }
    let evidence = bundle::evidence(&bundle).map_err(|error| unusable(in_full(&error)))?;
    let seal = report.facts.seal.unwrap_or_default();
    Ok(KeptEvidence { evidence, bundle, sha256: report.facts.sha256, seal })
}

/// Writes a file that is there whole or not at all.
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::Unwritable { path: path.to_owned(), why: reason(&error) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".vigie-")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Returns the system's words without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_removed_once_its_owner_is_gone_and_not_before() {
        let out = tempfile::tempdir().unwrap();
        let owned = spool(out.path()).unwrap();
        let path = std::fs::read_dir(out.path()).unwrap().flatten().next().expect("the spool's folder").path();
        let abandoned = out.path().join(".vigie-abandoned");
        std::fs::create_dir(&abandoned).unwrap();
        std::fs::write(abandoned.join(OWNER), "").unwrap();
        let others = out.path().join(".vigie-notes");
        std::fs::create_dir(&others).unwrap();
        prepare(out.path()).unwrap();
        assert!(!abandoned.exists(), "nobody owns it");
        assert!(path.exists() && others.exists(), "somebody owns it, or it is no spool");
        drop(owned);
        assert!(!path.exists());
    }
}
