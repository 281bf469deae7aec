//! Lists the lexicon's files, so that adding a language is adding a file.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for every build script");
    let out = env::var("OUT_DIR").expect("cargo sets it for every build script");
    let folder = Path::new(&manifest).join("../../data/lexicon");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths: Vec<_> =
        fs::read_dir(&folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    // Sorted, so that the order of languages does not depend on the file system.
    paths.sort();
    let mut code = String::from("&[\n");
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = path.display().to_string();
        writeln!(code, "    ({name:?}, include_str!({path:?})),").expect("writing to a string cannot fail");
    }
    code.push_str("]\n");
    fs::write(Path::new(&out).join("lexicon_files.rs"), code).expect("cargo made the folder");
}
