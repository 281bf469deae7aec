//! How large things may be, so that a crafted bundle costs no more than it should.
//!
//! All are ours: they are far above what a visit makes, and far below what a machine has. Who reads a bundle of unknown
//! origin meets one of these instead of running out of memory, disk or patience.

/// Largest bundle, in bytes: the container has 32-bit sizes, and no ZIP64.
pub const MAX_BUNDLE_BYTES: u64 = u32::MAX as u64;

/// Most members in a bundle.
pub const MAX_MEMBERS: usize = 10_000;

/// Longest name of a member, in bytes.
pub const MAX_NAME_BYTES: usize = 120;

/// Largest `datapackage.json` or `datapackage-digest.json`, in bytes.
pub const MAX_PACKAGE_BYTES: u64 = 8 * 1024 * 1024;

/// Largest list of pages and largest index, in bytes.
pub const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;

/// Largest head of a record, in bytes, and largest head of the HTTP message in it: Chromium takes addresses of 2 MiB.
pub const MAX_HEAD_BYTES: usize = 8 * 1024 * 1024;

/// Most lines in a head.
pub const MAX_FIELDS: usize = 10_000;

/// Largest body of a record once decompressed, in bytes.
pub const MAX_RECORD_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Largest sum of all records once decompressed, in bytes. Deflate can promise a thousandfold.
pub const MAX_TOTAL_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Largest answer of a timestamping authority, in bytes.
pub const MAX_TOKEN_BYTES: u64 = 256 * 1024;

/// Most timestamps in a bundle.
pub const MAX_TIMESTAMPS: usize = 16;

/// Most records in an archive.
pub const MAX_RECORDS: usize = 500_000;
