//! Any bytes as a stream of messages, of a client and of a server: cutting and reading them does not panic, and a row or a
//! description that is written again is the same.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use vigie_gateway::wire::{Authentication, Backend, Frontend, MAX_CLIENT_BYTES, frame};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(message)) = frame(rest, MAX_CLIENT_BYTES) {
        rest = &rest[message.len()..];
        match Frontend::parse(&message) {
            Ok(Frontend::Secret(body)) => {
                let _ = (Frontend::password(body), Frontend::sasl_initial(body));
            }
            Ok(Frontend::Bind(bind)) => assert_eq!(bind.parameters.into_iter().count(), bind.parameters.len()),
            _ => {}
        }
        match Backend::parse(&message) {
            Ok(Backend::DataRow(row)) => {
                assert_eq!(row.columns().count(), row.len());
                let mut again = BytesMut::new();
                row.put_without_last(0, &mut again);
                assert_eq!(again, message.bytes);
            }
            Ok(Backend::RowDescription(description)) => {
                let mut again = BytesMut::new();
                description.put(&mut again);
                assert_eq!(again, message.bytes);
            }
            Ok(Backend::ErrorResponse(notice)) => drop(notice.fields().count()),
            Ok(Backend::Authentication(Authentication::Sasl(list))) => drop(Authentication::mechanisms(list).count()),
            _ => {}
        }
    }
});
