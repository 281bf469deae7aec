//! What is written is read again; no bytes panic; what earlier proxies fell for is refused.

use super::*;
use bytes::BytesMut;
use proptest::prelude::*;

fn written(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    out
}

fn only(bytes: &[u8]) -> Frame<'_> {
    let frame = frame(bytes, MAX_SERVER_BYTES).unwrap().unwrap();
    assert_eq!(frame.len(), bytes.len());
    frame
}

fn row(values: &[Option<&[u8]>]) -> BytesMut {
    written(|out| put_data_row(values.iter().copied(), out))
}

#[test]
fn a_length_is_refused_from_the_header_alone() {
    let header = |length: u32| {
        let mut bytes = vec![b'Q'];
        bytes.extend(length.to_be_bytes());
        frame(&bytes, 100).map(|frame| frame.is_some())
    };
    for claimed in 0..4 {
        assert_eq!(header(claimed), Err(FrameError::TooShort { claimed, least: 4 }));
    }
    assert_eq!(header(4), Ok(true));
    assert_eq!(header(100), Ok(false), "one of exactly the limit is waited for");
    for claimed in [101, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        assert_eq!(header(claimed), Err(FrameError::TooLong { claimed, most: 100 }));
    }
    let enormous = frame(&[b'D', 0x80, 0, 0, 0], usize::MAX);
    assert!(matches!(enormous, Err(FrameError::TooLong { claimed: 0x8000_0000, .. })), "2^31 passes no limit");
    for n_bytes in 0..5 {
        assert_eq!(frame(&[b'Q', 0, 0, 0, 4][..n_bytes], 100), Ok(None));
    }
}

#[test]
fn a_startup_packet_has_its_own_bounds() {
    let packet =
        |length: u32| startup_frame(&length.to_be_bytes(), MAX_BYTES_BEFORE_LOGIN).map(|frame| frame.is_some());
    assert_eq!(packet(7), Err(FrameError::TooShort { claimed: 7, least: 8 }));
    assert_eq!(packet(8), Ok(false));
    assert_eq!(packet(10_000), Ok(false));
    for claimed in [10_001, 0x8000_0000, u32::MAX] {
        assert_eq!(packet(claimed), Err(FrameError::TooLong { claimed, most: 10_000 }));
    }
}

fn startup(bytes: &[u8]) -> Result<StartupPacket<'_>, Malformed> {
    StartupPacket::parse(&startup_frame(bytes, MAX_BYTES_BEFORE_LOGIN).unwrap().unwrap())
}

#[test]
fn first_packets_are_told_apart() {
    assert_eq!(startup(&written(put_ssl_request)), Ok(StartupPacket::SslRequest));
    assert_eq!(startup(&[0, 0, 0, 8, 4, 210, 22, 48]), Ok(StartupPacket::GssEncRequest));
    for key in [&[1, 2, 3, 4][..], &[9; 256]] {
        let bytes = written(|out| put_cancel(7, key, out));
        assert_eq!(startup(&bytes), Ok(StartupPacket::CancelRequest { process: 7, key }));
    }
    for key in [&[1, 2, 3][..], &[9; 257]] {
        assert!(startup(&written(|out| put_cancel(7, key, out))).is_err());
    }
    let bytes =
        written(|out| put_startup(VERSION_3_2, &[("user", "ada"), ("options", "-c a=b"), ("user", "eve")], out));
    let Ok(StartupPacket::Startup(message)) = startup(&bytes) else { panic!("it is a startup message") };
    assert_eq!(message.version, VERSION_3_2);
    let parameters: Vec<_> = message.parameters().collect();
    assert_eq!(parameters, [("user", "ada"), ("options", "-c a=b"), ("user", "eve")]);
}

#[test]
fn a_startup_message_with_more_behind_its_end_is_refused() {
    let bytes = |tail: &[u8], version: u32| {
        let mut bytes = ((8 + tail.len()) as u32).to_be_bytes().to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend(tail);
        bytes
    };
    assert!(startup(&bytes(b"user\0ada\0\0", VERSION_3_0)).is_ok());
    for tail in
        [&b""[..], b"user", b"user\0ada\0", b"user\0ada", b"user\0\0", b"user\0ada\0\0more\0x\0\0", b"user\0\xff\0\0"]
    {
        // `user\0\0` is an empty value without the end of the list.
        assert!(startup(&bytes(tail, VERSION_3_0)).is_err(), "{tail:?}");
    }
    for version in [0, 2 << 16, 4 << 16, u32::MAX] {
        assert!(startup(&bytes(b"user\0ada\0\0", version)).is_err(), "{version:#x}");
    }
}

#[test]
fn the_version_spoken_is_one_that_we_know() {
    let spoken = |minor: u32| {
        let bytes = written(|out| put_startup((3 << 16) | minor, &[("user", "x")], out));
        let Ok(StartupPacket::Startup(message)) = startup(&bytes) else { panic!("it is a startup message") };
        message.spoken()
    };
    assert_eq!(spoken(0), (VERSION_3_0, Told::NeedNot));
    assert_eq!(spoken(1), (VERSION_3_0, Told::Must));
    assert_eq!(spoken(2), (VERSION_3_2, Told::NeedNot));
    assert_eq!(spoken(9999), (VERSION_3_2, Told::Must));
}

#[test]
fn what_the_gateway_says_to_servers_is_read_as_clients_messages() {
    let check = |bytes: BytesMut, expected: Frontend<'_>| assert_eq!(Frontend::parse(&only(&bytes)), Ok(expected));
    check(written(|out| put_query("SELECT 1", out)), Frontend::Query("SELECT 1"));
    check(written(|out| put_execute("p", 5, out)), Frontend::Execute { portal: "p", rows: 5 });
    check(written(|out| put_describe(Named::Portal("p"), out)), Frontend::Describe(Named::Portal("p")));
    check(written(|out| put_close(Named::Statement("s"), out)), Frontend::Close(Named::Statement("s")));
    check(written(put_sync), Frontend::Sync);
    check(written(put_flush), Frontend::Flush);
    check(written(put_terminate), Frontend::Terminate);
    check(written(|out| put_copy_data(b"abc", out)), Frontend::CopyData(b"abc"));
    check(written(put_copy_done), Frontend::CopyDone);

    let bytes = written(|out| put_parse("s", "SELECT $1", [23_u32, 25].into_iter(), out));
    let Ok(Frontend::Parse(parse)) = Frontend::parse(&only(&bytes)) else { panic!("it is a Parse") };
    assert_eq!((parse.statement, parse.sql, parse.types.iter().collect()), ("s", "SELECT $1", vec![23, 25]));

    let bind = BindMessage {
        portal: "p",
        statement: "s",
        formats: &[1],
        parameters: &[Some(b"a"), None, Some(b"")],
        result_formats: &[0, 1],
    };
    let bytes = written(|out| put_bind(&bind, out));
    let Ok(Frontend::Bind(read)) = Frontend::parse(&only(&bytes)) else { panic!("it is a Bind") };
    assert_eq!((read.portal, read.statement), ("p", "s"));
    assert_eq!(read.parameters.into_iter().collect::<Vec<_>>(), bind.parameters);
    assert_eq!(read.formats.of(2), Some(1), "one format stands for all");
    assert_eq!([0, 1, 2].map(|at| read.result_formats.of(at)), [Some(0), Some(1), None]);

    let bytes = written(|out| put_sasl_initial("SCRAM-SHA-256", b"n,,", out));
    let Ok(Frontend::Secret(body)) = Frontend::parse(&only(&bytes)) else { panic!("it is a secret") };
    assert_eq!(Frontend::sasl_initial(body), Ok(("SCRAM-SHA-256", Some(&b"n,,"[..]))));
    let bytes = written(|out| put_secret("hunter2", out));
    assert_eq!(Frontend::password(only(&bytes).body()), Ok("hunter2"));
}

#[test]
fn what_the_gateway_says_to_clients_is_read_as_servers_messages() {
    let check = |bytes: BytesMut, expected: Backend<'_>| assert_eq!(Backend::parse(&only(&bytes)), Ok(expected));
    check(written(put_authentication_ok), Backend::Authentication(Authentication::Ok));
    check(written(put_ask_password), Backend::Authentication(Authentication::CleartextPassword));
    check(
        written(|out| put_sasl_step(b"r=", Last::No, out)),
        Backend::Authentication(Authentication::SaslContinue(b"r=")),
    );
    check(
        written(|out| put_sasl_step(b"v=", Last::Yes, out)),
        Backend::Authentication(Authentication::SaslFinal(b"v=")),
    );
    check(
        written(|out| put_parameter_status("TimeZone", "UTC", out)),
        Backend::ParameterStatus { name: "TimeZone", value: "UTC" },
    );
    check(written(|out| put_backend_key_data(3, &[1; 32], out)), Backend::BackendKeyData { process: 3, key: &[1; 32] });
    check(written(|out| put_ready(TransactionStatus::Failed, out)), Backend::ReadyForQuery(TransactionStatus::Failed));
    check(written(|out| put_command_complete("SELECT 5", out)), Backend::CommandComplete("SELECT 5"));
    check(
        written(|out| put_negotiate_protocol_version(VERSION_3_2, &["_pq_.a", "_pq_.b"], out)),
        Backend::NegotiateProtocolVersion { version: VERSION_3_2, unknown_options: 2 },
    );
    for (tag, expected) in [
        (b'1', Backend::ParseComplete),
        (b'2', Backend::BindComplete),
        (b'3', Backend::CloseComplete),
        (b'I', Backend::EmptyQueryResponse),
        (b's', Backend::PortalSuspended),
        (b'n', Backend::NoData),
        (b'c', Backend::CopyDone),
    ] {
        check(written(|out| put_empty(tag, out)), expected);
    }
    let bytes = written(|out| put_copy_out_response(1, 2, out));
    let Ok(Backend::CopyOutResponse(copy)) = Backend::parse(&only(&bytes)) else { panic!("it is a CopyOutResponse") };
    assert_eq!((copy.format, copy.columns.iter().collect()), (1, vec![1, 1]));
    let bytes = written(|out| put_sasl_mechanisms(&["A", "B"], out));
    let Ok(Backend::Authentication(Authentication::Sasl(list))) = Backend::parse(&only(&bytes)) else {
        panic!("it is an offer")
    };
    assert_eq!(Authentication::mechanisms(list).collect::<Vec<_>>(), [b"A", b"B"]);
}

#[test]
fn an_error_of_ours_has_its_fields_and_no_text_ends_early() {
    let report = Report {
        severity: Severity::Error,
        code: "42501",
        message: "denied\0Hfalse hint",
        detail: Some("decision 01JB6"),
        hint: None,
    };
    let bytes = written(|out| put_report(&report, out));
    let Ok(Backend::ErrorResponse(error)) = Backend::parse(&only(&bytes)) else { panic!("it is an error") };
    let fields: Vec<_> = error.fields().collect();
    let expected = [
        (b'S', &b"ERROR"[..]),
        (b'V', b"ERROR"),
        (b'C', b"42501"),
        (b'M', b"deniedHfalse hint"),
        (b'D', b"decision 01JB6"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(error.code(), Some("42501"));
    assert_eq!(error.field(b'H'), None);
}

#[test]
fn columns_are_described_and_the_last_ones_cut() {
    let columns = [Column::text("a"), Column { name: "b", type_oid: 20, size: 8 }, Column::text("subject")];
    let bytes = written(|out| put_row_description(&columns, out));
    let Ok(Backend::RowDescription(description)) = Backend::parse(&only(&bytes)) else { panic!("it is one") };
    let names = |description: &RowDescription<'_>| -> Vec<String> {
        description.fields().map(|field| String::from_utf8(field.name.to_vec()).unwrap()).collect()
    };
    assert_eq!(names(&description), ["a", "b", "subject"]);
    let field = description.fields().nth(1).unwrap();
    assert_eq!((field.type_oid, field.size, field.modifier, field.table, field.column), (20, 8, -1, 0, 0));
    let bytes = written(|out| description.strip_last(1).put(out));
    let Ok(Backend::RowDescription(stripped)) = Backend::parse(&only(&bytes)) else { panic!("it is one") };
    assert_eq!(names(&stripped), ["a", "b"]);
    assert_eq!(stripped.len(), 2);
    assert!(description.strip_last(4).is_empty());
}

#[test]
fn the_last_columns_of_a_row_are_cut_in_place_or_while_copying() {
    let full = row(&[Some(b"abc"), None, Some(b"42")]);
    for (n, left) in [(0, row(&[Some(b"abc"), None, Some(b"42")])), (1, row(&[Some(b"abc"), None])), (3, row(&[]))] {
        let mut in_place = full.clone();
        strip_last_columns(&mut in_place, n).unwrap();
        assert_eq!(in_place, left);
        let copied = written(|out| DataRow::parse(only(&full).body()).unwrap().put_without_last(n, out));
        assert_eq!(copied, left);
    }
    let mut in_place = full.clone();
    assert!(strip_last_columns(&mut in_place, 4).is_err());
    assert_eq!(in_place, full);
    assert!(strip_last_columns(&mut written(put_sync), 0).is_err());
    let mut two = full.clone();
    two.extend_from_slice(&full);
    assert!(strip_last_columns(&mut two, 1).is_err(), "a second row behind it would be cut");
}

#[test]
fn the_value_of_a_column_is_replaced() {
    let full = row(&[Some(b"id"), Some(b"secret"), None, Some(b"x"), Some(b"cut")]);
    let replaced = written(|out| {
        DataRow::parse(only(&full).body()).unwrap().put_replaced(4, out, |position, value, out| match position {
            0 => {
                assert_eq!(value, Some(&b"id"[..]));
                out.extend_from_slice(b"pseudonym");
                Replaced::Written
            }
            1 => Replaced::Null,
            2 => Replaced::Kept,
            _ => {
                out.extend_from_slice(b"dropped");
                Replaced::Kept
            }
        });
    });
    assert_eq!(replaced, row(&[Some(b"pseudonym"), None, None, Some(b"x")]));
}

#[test]
fn a_row_that_does_not_fill_its_message_is_refused() {
    for body in [
        &b""[..],
        b"\0",
        b"\0\x01",
        b"\0\0extra",
        b"\0\x01\0\0\0\x05abc",
        b"\0\x01\0\0\0\x02abc",
        b"\0\x01\xff\xff\xff\xfe",
        b"\xff\xff\0\0\0\0",
    ] {
        assert!(DataRow::parse(body).is_err(), "{body:?}");
    }
    assert_eq!(DataRow::parse(b"\0\x01\xff\xff\xff\xff").unwrap().column(0), Some(None));
}

#[test]
fn a_bind_whose_formats_do_not_fit_is_refused() {
    let bind = BindMessage { formats: &[0, 1], parameters: &[None, None, None], ..BindMessage::default() };
    assert!(Frontend::parse(&only(&written(|out| put_bind(&bind, out)))).is_err());
}

#[test]
fn unknown_types_are_refused_in_both_directions() {
    for tag in 0..=u8::MAX {
        let bytes = [tag, 0, 0, 0, 4];
        if !b"pQPBDECHSdcfFX".contains(&tag) {
            assert!(Frontend::parse(&only(&bytes)).is_err(), "{tag}");
        }
        if !b"DdTENRSKZCI123sntAGHWcVv".contains(&tag) {
            assert!(Backend::parse(&only(&bytes)).is_err(), "{tag}");
        }
    }
}

/// Looks at everything that a message shows; what it returns is of no interest.
fn look(frame: &Frame<'_>) {
    if let Ok(message) = Frontend::parse(frame) {
        match message {
            Frontend::Bind(bind) => {
                assert_eq!(bind.parameters.into_iter().count(), bind.parameters.len());
                let _ = (bind.formats.of(7), bind.result_formats.iter().count());
            }
            Frontend::Secret(body) => {
                let _ = (Frontend::password(body), Frontend::sasl_initial(body));
            }
            Frontend::Parse(parse) => drop(parse.types.iter().count()),
            _ => {}
        }
    }
    if let Ok(message) = Backend::parse(frame) {
        match message {
            Backend::DataRow(row) => {
                assert_eq!(row.columns().count(), row.len());
                let again = written(|out| row.put_without_last(0, out));
                assert_eq!(again, frame.bytes);
            }
            Backend::RowDescription(description) => {
                assert_eq!(description.fields().count(), description.len());
                assert_eq!(written(|out| description.put(out)), frame.bytes);
            }
            Backend::ErrorResponse(notice) | Backend::NoticeResponse(notice) => {
                let _ = (notice.code(), notice.fields().count());
            }
            Backend::Authentication(Authentication::Sasl(list)) => drop(Authentication::mechanisms(list).count()),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(frame)) = frame(&bytes, MAX_CLIENT_BYTES) {
            look(&frame);
        }
        if let Ok(Some(frame)) = startup_frame(&bytes, MAX_BYTES_BEFORE_LOGIN)
            && let Ok(StartupPacket::Startup(message)) = StartupPacket::parse(&frame)
        {
            let _ = (message.parameters().count(), message.spoken());
        }
    }

    #[test]
    fn no_body_of_a_known_type_panics(
        tag in prop::sample::select(&b"pQPBDECHSdcfFXTNRKZI123sntAGWVv"[..]),
        // Small numbers and zeros, so that counts and lengths often fit.
        body in prop::collection::vec(prop_oneof![Just(0_u8), 0..6_u8, any::<u8>()], 0..60),
    ) {
        let mut bytes = vec![tag];
        bytes.extend(((body.len() + 4) as u32).to_be_bytes());
        bytes.extend(body);
        look(&only(&bytes));
    }

    #[test]
    fn rows_are_read_as_they_are_written(
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 0..12),
        cut in 0..14_usize,
    ) {
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        let bytes = row(&values);
        let read = DataRow::parse(only(&bytes).body()).unwrap();
        prop_assert_eq!(read.columns().collect::<Vec<_>>(), &values[..]);
        let kept = values.len().saturating_sub(cut);
        prop_assert_eq!(written(|out| read.put_without_last(cut, out)), row(&values[..kept]));
        prop_assert_eq!(written(|out| read.put_replaced(kept, out, |_, _, _| Replaced::Kept)), row(&values[..kept]));
    }

    #[test]
    fn messages_are_cut_wherever_the_buffer_ends(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..6),
        piece in 1..20_usize,
    ) {
        let mut stream = BytesMut::new();
        bodies.iter().for_each(|body| put_copy_data(body, &mut stream));
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for part in stream.chunks(piece) {
            buffer.extend_from_slice(part);
            while let Some(message) = take(&mut buffer, MAX_CLIENT_BYTES).unwrap() {
                found.push(message[HEADER_BYTES..].to_vec());
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(found, bodies);
    }
}
