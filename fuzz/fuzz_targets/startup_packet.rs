//! Any bytes as a client's first packet: it is read or refused, and what it asks for too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_gateway::{
    startup::Asked,
    wire::{MAX_BYTES_BEFORE_LOGIN, StartupPacket, startup_frame},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(frame)) = startup_frame(bytes, MAX_BYTES_BEFORE_LOGIN)
        && let Ok(StartupPacket::Startup(message)) = StartupPacket::parse(&frame)
    {
        let _ = (message.spoken(), Asked::parse(message.parameters()));
    }
    if let Ok(options) = std::str::from_utf8(bytes) {
        let _ = Asked::parse([("user", "ada"), ("options", options)].into_iter());
    }
});
