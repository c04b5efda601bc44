//! An initramfs as the kernel reads it: a `newc` cpio archive, made in memory.
//!
//! ```text
//!  "070701" inode mode uid gid nlink mtime size major minor rmajor rminor name_bytes check   each 8 hex digits: 110 bytes
//!  name NUL, padded to 4  │  content, padded to 4  │ … │ "TRAILER!!!"
//! ```
//! Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Times are zero, so the same files give the same bytes.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// An archive under construction.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

impl Initramfs {
    /// Adds a directory; its parents must be there already.
    pub fn directory(&mut self, name: &str) -> Result<(), String> {
        self.entry(name, DIRECTORY, &[])
    }

    /// Adds a file, executable.
    pub fn file(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        self.entry(name, PROGRAM, content)
    }

    /// Adds a file of this machine.
    pub fn copy(&mut self, name: &str, from: &Path) -> Result<(), String> {
        self.file(name, &std::fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?)
    }

    /// Adds a directory of this machine and all that is in it, in the order of names.
    pub fn copy_directory(&mut self, name: &str, from: &Path) -> Result<(), String> {
        self.directory(name)?;
        let failed = |error: std::io::Error| format!("{}: {error}", from.display());
        let mut entries = std::fs::read_dir(from).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for path in entries.iter().map(std::fs::DirEntry::path) {
            let below = format!("{name}/{}", path.file_name().unwrap_or_default().display());
            if path.is_dir() { self.copy_directory(&below, &path)? } else { self.copy(&below, &path)? }
        }
        Ok(())
    }

    /// Adds all that is in a directory of this machine at the root, in the order of names, with its permissions and links; everything belongs to root.
    pub fn tree(&mut self, from: &Path) -> Result<(), String> {
        self.tree_below("", from)
    }

    fn tree_below(&mut self, above: &str, from: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", from.display());
        let mut entries = std::fs::read_dir(from).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            let name = format!("{above}{}", entry.file_name().to_string_lossy());
            let mode = entry.metadata().map_err(failed)?.permissions().mode() & 0o7777;
            if kind.is_symlink() {
                let target = std::fs::read_link(&path).map_err(failed)?;
                self.entry(&name, LINK, target.as_os_str().as_bytes())?;
            } else if kind.is_dir() {
                self.entry(&name, DIRECTORY & !0o777 | mode, &[])?;
                self.tree_below(&format!("{name}/"), &path)?;
            } else if kind.is_file() {
                self.entry(&name, FILE | mode, &std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)?;
            }
        }
        Ok(())
    }

    /// The archive's bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, String> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), String> {
        self.inode += 1;
        let size = u32::try_from(content.len()).map_err(|_| format!("{name} is too long for an initramfs"))?;
        let name_bytes = u32::try_from(name.len() + 1).map_err(|_| format!("{name} is too long a name"))?;
        self.bytes.extend_from_slice(b"070701");
        for field in [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_bytes, 0] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_its_permissions_and_links() {
        let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        std::fs::create_dir_all(root.join("d")).unwrap();
        std::fs::write(root.join("d/f"), b"x").unwrap();
        std::fs::set_permissions(root.join("d/f"), std::fs::Permissions::from_mode(0o640)).unwrap();
        let _ = std::fs::remove_file(root.join("l"));
        std::os::unix::fs::symlink("d/f", root.join("l")).unwrap();
        let mut archive = Initramfs::default();
        archive.tree(&root).unwrap();
        let text = String::from_utf8_lossy(&archive.finish().unwrap()).into_owned();
        std::fs::remove_dir_all(&root).unwrap();
        let entry = |name: &str| text[..text.find(name).unwrap()].rfind("070701").map(|at| text[at + 14..at + 22].to_owned()).unwrap();
        assert_eq!((entry("d/f\0"), entry("l\0")), (format!("{:08x}", FILE | 0o640), format!("{LINK:08x}")));
    }

    #[test]
    fn a_file_lies_where_the_format_says() {
        let mut archive = Initramfs::default();
        archive.directory("bin").unwrap();
        archive.file("bin/a", b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        // "bin" with its header: 110 + 4 = 114, padded to 116; then the file's header.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[116..122], b"070701");
        let field = |index: usize| u32::from_str_radix(std::str::from_utf8(&bytes[122 + 8 * index..130 + 8 * index]).unwrap(), 16).unwrap();
        assert_eq!((field(1), field(6), field(11)), (PROGRAM, 5, 6));
        assert_eq!(&bytes[226..232], b"bin/a\0");
        assert_eq!(&bytes[232..240], b"hello\0\0\0");
        assert!(bytes.len().is_multiple_of(4) && bytes.windows(11).any(|name| name == b"TRAILER!!!\0"));
    }
}
