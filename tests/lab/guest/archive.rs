//! A file system in memory as the kernel unpacks it at boot: a `cpio` archive of the format `newc`
//! (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
/// Ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes an archive. Folders are made as they are needed: the kernel makes none by itself.
pub(super) struct Archive<W> {
    to: W,
    folders: BTreeSet<String>,
    /// Each entry has a number of its own; entries of one number would be one file.
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, folders: BTreeSet::new(), entries: 0 }
    }

    /// A folder and those it is in.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        let missing: Vec<String> = Path::new(path)
            .ancestors()
            .map(|folder| folder.to_string_lossy().trim_start_matches('/').to_owned())
            .filter(|folder| !folder.is_empty() && !self.folders.contains(folder))
            .collect();
        for folder in missing.into_iter().rev() {
            self.entry(&folder, FOLDER, &[])?;
            self.folders.insert(folder);
        }
        Ok(())
    }

    /// A file that may be run.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.inside_its_folder(path, PROGRAM, content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) -> io::Result<()> {
        self.inside_its_folder(path, LINK, to.as_bytes())
    }

    /// The end; what the archive was written to comes back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn inside_its_folder(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        if let Some(folder) = Path::new(path).parent() {
            self.folder(&folder.to_string_lossy())?;
        }
        self.entry(path.trim_start_matches('/'), mode, content)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let with_nul = name.len() as u32 + 1;
        // Number, mode, owner, group, links, time, size, device and special device as major and minor, name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, with_nul, 0];
        self.to.write_all(b"070701")?;
        for field in fields {
            write!(self.to, "{field:08x}")?;
        }
        self.to.write_all(name.as_bytes())?;
        // The header has 110 bytes; with the name it ends at a multiple of four, and so does the content.
        self.to.write_all(&[0; 4][..=padding(110 + name.len() + 1)])?;
        self.to.write_all(content)?;
        self.to.write_all(&[0; 4][..padding(content.len())])
    }
}

fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_as_the_kernel_reads_it() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b", b"hello").expect("memory takes all");
        archive.file("/a/c", b"").expect("memory takes all");
        let bytes = archive.finish().expect("memory takes all");
        let text = String::from_utf8(bytes).expect("nothing in it but text");
        let header = |number: u32, mode: &str, size: u32, name: u32| {
            let zeros = |count: usize| "00000000".repeat(count);
            format!(
                "070701{number:08x}{mode}{}00000001{}{size:08x}{}{name:08x}{}",
                zeros(2),
                zeros(1),
                zeros(4),
                zeros(1)
            )
        };
        let wanted = [
            // Once, though two files are in it.
            header(1, "000041ed", 0, 2) + "a\0",
            header(2, "000081ed", 5, 4) + "a/b\0\0\0hello\0\0\0",
            header(3, "000081ed", 0, 4) + "a/c\0\0\0",
            header(4, "00000000", 0, 11) + "TRAILER!!!\0\0\0\0",
        ];
        assert_eq!(text, wanted.concat());
    }
}
