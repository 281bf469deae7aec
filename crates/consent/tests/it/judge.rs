//! The served document, held against the server by schemathesis.

use crate::fixture::Fixture;
use std::{
    path::Path,
    process::{Command, Stdio},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_what_its_document_says() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/schemathesis");
    assert!(program.exists(), "schemathesis is missing; run `scripts/setup.sh --judges`");
    let more = "[limits]\nsubject_per_minute = 1000000\noperator_per_minute = 1000000\naddress_per_minute = 1000000\n";
    let mut fixture = Fixture::with("judged", "folder = \"ledger\"", more).await;
    let (url, folder) = (format!("{}/openapi.json", fixture.address), tempfile::tempdir().unwrap());
    for (token, paths) in [
        (fixture.person(1), r"^/(health|openapi\.json|v1/(purposes|choices|withdrawals|history|record|receipts/.*))$"),
        (fixture.operator("choices:read choices:write"), "^/v1/subjects/"),
    ] {
        let mut command = Command::new(&program);
        command
            .args(["run", &url, "--header", &format!("Authorization: Bearer {token}"), "--include-path-regex", paths])
            // Data that is wrong only by our prose (a purpose that is not in the map) is refused with 422: not judged.
            .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
            .args(["--checks", "response_schema_conformance,response_headers_conformance"])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1", "--no-color"])
            .current_dir(folder.path())
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        assert!(said.contains("passed"), "it judged something: {said}");
    }
    fixture.end().await;
}
