//! Keeping an inspection: a folder that is there whole or not at all.
//!
//! It is written under a name that begins with a dot and renamed at the end. If we stop before that, what is left is
//! plainly unfinished and nobody takes it for evidence.

use crate::{arguments::Common, fault::Fault};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use vigie_inspection::inspect::plan::Pictures;

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
    tempfile::Builder::new().prefix(".vigie-").tempfile_in(folder).map_err(failed)?;
    Ok(())
}

/// One inspection's files.
pub struct Kept<'a> {
    /// The folder's name.
    pub name: &'a str,
    /// The evidence, as JSON.
    pub evidence: &'a [u8],
    /// The answer, as JSON.
    pub answer: &'a [u8],
    /// The report, unless none is wanted.
    pub report: Option<&'a str>,
    /// The pictures.
    pub pictures: &'a Pictures,
}

/// Writes the files below `out` and returns their folder.
///
/// # Errors
///
/// If anything cannot be written; then nothing of it is left.
pub fn keep(out: &Path, files: &Kept<'_>) -> Result<PathBuf, Fault> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| Fault::Unwritable { path, why: reason(&error) }
    };
    let unfinished = tempfile::Builder::new().prefix(".vigie-").tempdir_in(out).map_err(failed(out))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = unfinished.path().join(name);
        std::fs::write(&path, bytes)
            .and_then(|()| std::fs::File::open(&path)?.sync_all())
            .map_err(failed(&out.join(name)))
    };
    std::fs::create_dir(unfinished.path().join("pictures")).map_err(failed(out))?;
    write("evidence.json", files.evidence)?;
    write("inspection.json", files.answer)?;
    if let Some(report) = files.report {
        write("report.html", report.as_bytes())?;
    }
    for (path, png) in files.pictures {
        write(path, png)?;
    }
    for attempt in 0..1000 {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let folder = out.join(format!("{}{suffix}", files.name));
        // A folder of that name from the same second is another inspection; it is never replaced.
        if folder.exists() {
            continue;
        }
        set_readable(unfinished.path()).map_err(failed(&folder))?;
        match std::fs::rename(unfinished.path(), &folder) {
            Ok(()) => return Ok(folder),
            Err(_) if folder.exists() => {}
            Err(error) => return Err(failed(&folder)(error)),
        }
    }
    Err(Fault::Unwritable { path: out.join(files.name), why: "a thousand inspections have that name".to_owned() })
}

/// Temporary folders are for their owner alone; a kept one is as readable as the user's other files.
fn set_readable(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

/// Returns the SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the system's words without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
