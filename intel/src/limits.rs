//! Every bound that a feed can run into, in one place, with the reason for its number.
//!
//! A feed is written by a stranger. What it may cost is decided here and not by its bytes: a line is held in memory up to
//! `LINE_BYTES_MAX`, a compressed file may grow up to `EXPANSION_RATIO_MAX`, and everything else is streamed.

/// A longer line is rejected and skipped without being held in memory. The longest URL that is a key has 8,192 bytes
/// (`verdict_keys::URL_BYTES_MAX`); the rest is room for the other columns of a row, above all lists of tags and references.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Columns of one delimited row. The widest known format (ThreatFox) has 15.
pub const COLUMNS_MAX: usize = 64;

/// How much of a feed is looked at to tell its format. Long licence headers fit (the longest seen are below 4 KiB).
pub const DETECT_BYTES: usize = 64 * 1024;

/// How many rows of that part are looked at.
pub const DETECT_ROWS: usize = 256;

/// Bytes that one feed may have after decompression. The largest public feeds are below 0.5 GiB.
pub const EXPANDED_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Decompressed bytes per compressed byte, once `EXPANSION_FREE_BYTES` have come out. Lists of indicators pack 3 to 30 times;
/// deflate ends at 1,032.
pub const EXPANSION_RATIO_MAX: u64 = 100;

/// Below this size no ratio is held against a feed: a small, repetitive file does no harm.
pub const EXPANSION_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// Files of one feed that is an archive or a directory. The largest public ones (Maltrail's families, MISP feeds) have some thousand.
pub const MEMBERS_MAX: usize = 65_536;

/// Files of a feed that were left out and are told by name.
pub const LEFT_OUT_TOLD_MAX: usize = 100;

/// The name of a file in an archive.
pub const MEMBER_NAME_BYTES_MAX: usize = 4096;

/// A zip archive: its directory stands at its end, so that the file is held in memory.
pub const ZIP_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The window of a zstd frame, which is memory. `zstd -19` takes 8 MiB, `--ultra -22` 128 MiB.
pub const ZSTD_WINDOW_MAX: u64 = 128 * 1024 * 1024;

/// The manifest of a MISP feed: some 500 bytes an event.
pub const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Directories within directories of a feed that is one.
pub const DIRECTORY_DEPTH_MAX: usize = 16;

/// Bytes of a rejected line that a report shows, before escaping.
pub const EXCERPT_BYTES: usize = 96;

/// What is kept of a row's reference, an address or an identifier; the rest is cut. The longest seen in public feeds have some 200 bytes.
pub const REFERENCE_BYTES_MAX: usize = 256;

/// Indicators on one line of a hosts file. The usual writers put nine; a line of more than this is broken or hostile.
pub const NAMES_PER_LINE_MAX: usize = 64;

/// One object of a JSON document: a STIX indicator or a MISP attribute has below 10 KiB, with a long description or list of values 100 KiB.
pub const OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// Containers within containers of a JSON document. MISP events nest 7 deep, STIX bundles 6.
pub const DEPTH_MAX: usize = 64;

/// One key of a JSON object.
pub const KEY_BYTES_MAX: usize = 4096;

/// Rows of a JSON document that may come before what tells their meaning: a MISP event's tags mostly stand behind its attributes, the type of a
/// warninglist behind its entries. Each costs some hundred bytes until then.
pub const PENDING_ROWS_MAX: usize = 1 << 20;

/// Alternatives of one STIX pattern.
pub const PATTERN_VALUES_MAX: usize = 4096;

/// Brackets within brackets of a STIX pattern.
pub const PATTERN_DEPTH_MAX: usize = 32;

/// Marking definitions of one STIX document that are remembered by their identifiers.
pub const MARKINGS_MAX: usize = 4096;

/// Size of a feeds.toml.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Size of a secret file.
pub const SECRET_BYTES_MAX: u64 = 4096;

/// Feeds of one snapshot: their numbers are 16 bits wide in the table.
pub const FEEDS_MAX: usize = 4096;

const _: () = assert!(LINE_BYTES_MAX > 2 * verdict_keys::URL_BYTES_MAX);
const _: () = assert!(FEEDS_MAX <= u16::MAX as usize);
