//! Fields of a Windows program's headers, for models: PROTOCOL.md section 5, pe-1. The structures and their places are `object`'s; what is refused is ours.
//!
//! ```text
//! 0: "MZ" e_cblp … e_lfanew ─┐        at e_lfanew: "PE\0\0" │ file header, 20 bytes │ optional header, 96 or 112 bytes
//!                            └──────►                       16 values of the first, 5 and 28 of these: 49
//! ```
//! Two reads, of 64 and at most 136 bytes: whatever else the file holds, and however large it is, is not looked at. No bytes make this panic.
//! Fields are taken as the structures place them, also where the file contradicts itself: that is for the model to judge.

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader};
use std::io;

/// How many fields a program has.
pub const FIELDS: usize = 49;
/// Values above this are not known.
const VALUE_MAX: u64 = 1 << 62;
/// Signature, file header, and the longer one of the optional headers.
const NT_BYTES: usize = size_of::<pe::ImageNtHeaders64>();
const OPTIONAL_AT: usize = 4 + pe::IMAGE_SIZEOF_FILE_HEADER;
const _: () = assert!(size_of::<pe::ImageDosHeader>() == 64 && NT_BYTES == 136 && size_of::<pe::ImageNtHeaders32>() == 120);

/// Names and values, in the order of pe-1.
pub type Fields = [(&'static str, i64); FIELDS];

/// What the first bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A program.
    Program(Box<Fields>),
    /// It begins as one, and is none: where, and why.
    Broken(String),
    /// Anything else.
    Other,
}

/// Looks at a file. `read_at` fills a buffer from an offset on, as far as the file goes, and tells how far that was.
pub fn look(read_at: impl Fn(u64, &mut [u8]) -> io::Result<usize>) -> io::Result<Looked> {
    let mut bytes = [0; 64];
    let got = read_at(0, &mut bytes)?.min(bytes.len());
    if !bytes[..got].starts_with(b"MZ") {
        return Ok(Looked::Other);
    }
    let Ok((dos, _)) = object::pod::from_bytes::<pe::ImageDosHeader>(&bytes[..got]) else {
        return Ok(Looked::Broken(format!("it begins with `MZ` and ends after {got} bytes, within its DOS header of 64")));
    };
    let at = u64::from(dos.e_lfanew.get(LE));
    let mut bytes = [0; NT_BYTES];
    let got = read_at(at, &mut bytes)?.min(bytes.len());
    let bytes = &bytes[..got];
    let broken = |why: String| Ok(Looked::Broken(format!("it begins with `MZ`, but at byte {at}, where its DOS header says, {why}")));
    if got < 4 || !b"PE\0\0".starts_with(&bytes[..4]) {
        return broken(if got < 4 { "the file ends".to_owned() } else { format!("there is no `PE` but {}", hex(&bytes[..4])) });
    }
    let magic = bytes.get(OPTIONAL_AT..OPTIONAL_AT + 2).map(|magic| u16::from_le_bytes([magic[0], magic[1]]));
    let fields = match magic {
        Some(pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC) => object::pod::from_bytes::<pe::ImageNtHeaders32>(bytes).map(|(nt, _)| fields(dos, nt)),
        Some(pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC) => object::pod::from_bytes::<pe::ImageNtHeaders64>(bytes).map(|(nt, _)| fields(dos, nt)),
        Some(magic) => return broken(format!("there are PE headers of magic {magic:#x}, which is neither PE32 (0x10b) nor PE32+ (0x20b)")),
        None => Err(()),
    };
    match fields {
        Ok(fields) => Ok(Looked::Program(Box::new(fields))),
        Err(()) => broken(format!("there are PE headers of which the file has {got} bytes and ends")),
    }
}

/// All fields, as they stand there.
fn fields<H: ImageNtHeaders>(dos: &pe::ImageDosHeader, nt: &H) -> Fields {
    let (file, optional) = (nt.file_header(), nt.optional_header());
    let known = |value: u64| if value > VALUE_MAX { -1 } else { value as i64 };
    [
        ("e_cblp", dos.e_cblp.get(LE).into()),
        ("e_cp", dos.e_cp.get(LE).into()),
        ("e_crlc", dos.e_crlc.get(LE).into()),
        ("e_cparhdr", dos.e_cparhdr.get(LE).into()),
        ("e_minalloc", dos.e_minalloc.get(LE).into()),
        ("e_maxalloc", dos.e_maxalloc.get(LE).into()),
        ("e_ss", dos.e_ss.get(LE).into()),
        ("e_sp", dos.e_sp.get(LE).into()),
        ("e_csum", dos.e_csum.get(LE).into()),
        ("e_ip", dos.e_ip.get(LE).into()),
        ("e_cs", dos.e_cs.get(LE).into()),
        ("e_lfarlc", dos.e_lfarlc.get(LE).into()),
        ("e_ovno", dos.e_ovno.get(LE).into()),
        ("e_oemid", dos.e_oemid.get(LE).into()),
        ("e_oeminfo", dos.e_oeminfo.get(LE).into()),
        ("e_lfanew", dos.e_lfanew.get(LE).into()),
        ("NumberOfSections", file.number_of_sections.get(LE).into()),
        ("PointerToSymbolTable", file.pointer_to_symbol_table.get(LE).into()),
        ("NumberOfSymbols", file.number_of_symbols.get(LE).into()),
        ("SizeOfOptionalHeader", file.size_of_optional_header.get(LE).into()),
        ("Magic", optional.magic().into()),
        ("MajorLinkerVersion", optional.major_linker_version().into()),
        ("MinorLinkerVersion", optional.minor_linker_version().into()),
        ("SizeOfCode", optional.size_of_code().into()),
        ("SizeOfInitializedData", optional.size_of_initialized_data().into()),
        ("SizeOfUninitializedData", optional.size_of_uninitialized_data().into()),
        ("AddressOfEntryPoint", optional.address_of_entry_point().into()),
        ("BaseOfCode", optional.base_of_code().into()),
        ("ImageBase", known(optional.image_base())),
        ("SectionAlignment", optional.section_alignment().into()),
        ("FileAlignment", optional.file_alignment().into()),
        ("MajorOperatingSystemVersion", optional.major_operating_system_version().into()),
        ("MinorOperatingSystemVersion", optional.minor_operating_system_version().into()),
        ("MajorImageVersion", optional.major_image_version().into()),
        ("MinorImageVersion", optional.minor_image_version().into()),
        ("MajorSubsystemVersion", optional.major_subsystem_version().into()),
        ("MinorSubsystemVersion", optional.minor_subsystem_version().into()),
        ("SizeOfHeaders", optional.size_of_headers().into()),
        ("CheckSum", optional.check_sum().into()),
        ("SizeOfImage", optional.size_of_image().into()),
        ("Subsystem", optional.subsystem().0.into()),
        ("SizeOfStackReserve", known(optional.size_of_stack_reserve())),
        ("SizeOfStackCommit", known(optional.size_of_stack_commit())),
        ("SizeOfHeapReserve", known(optional.size_of_heap_reserve())),
        ("SizeOfHeapCommit", known(optional.size_of_heap_commit())),
        ("LoaderFlags", optional.loader_flags().into()),
        ("NumberOfRvaAndSizes", optional.number_of_rva_and_sizes().into()),
        ("Characteristics", file.characteristics.get(LE).0.into()),
        ("DllCharacteristics", optional.dll_characteristics().0.into()),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
