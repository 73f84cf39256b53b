//! Unpacking what was uploaded packed: gzip, or a ZIP archive of one file; told by the first bytes, as upstream does.
//!
//! What comes out is bounded by who calls, because a few kilobytes can hold a terabyte of zeros (CVE-2013-4463). The bytes
//! are a stranger's: lengths and checksums are held against what came out, an archive that is encrypted, holds a second
//! file, or says one thing at its beginning and another at its end is refused. Pure: reads from any reader, in order, so an
//! archive needs no file to jump about in.

use crate::error::{Error, Result};
use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use std::io::{self, BufRead, Read};

/// How many of the first bytes tell.
pub const MAGIC: usize = 5;
const PIECE: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zip,
    Lha,
}

impl Packing {
    /// What begins like this; `None` for what is not packed.
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PK\x03\x04") {
            Some(Self::Zip)
        } else if head.starts_with(b"\x1f\x8b\x08") {
            Some(Self::Gzip)
        } else if head.get(2..).is_some_and(|rest| rest.starts_with(b"-lh")) {
            Some(Self::Lha)
        } else {
            None
        }
    }
}

/// Unpacks all of it, into `out` piece by piece, at most so many bytes.
///
/// # Errors
/// `UnsupportedMediaType` for what is no whole archive, `TooLarge` for more than `at_most`, and `out`'s own. Where reading
/// itself failed, whatever the reader wrapped in its error.
pub fn unpack<R: BufRead>(
    packing: Packing,
    mut packed: R,
    at_most: u64,
    mut out: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    match packing {
        Packing::Gzip => {
            let mut plain = MultiGzDecoder::new(packed);
            pour(&mut plain, at_most, &mut out).map(drop)
        }
        Packing::Zip => unzip(&mut packed, at_most, &mut out),
        Packing::Lha => Err(wrong("LHA archives are not unpacked here")),
    }
}

fn wrong(what: &str) -> Error {
    Error::UnsupportedMediaType(format!("The image could not be decompressed: {what}"))
}

/// A reader's failure: its own error where it wrapped one of ours, else the archive's fault.
fn unreadable(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => wrong("it ends too early"),
        Err(_) => wrong("its data is damaged"),
    }
}

/// How many bytes, and their checksum.
struct Poured {
    size: u64,
    crc: u32,
}

fn pour(plain: &mut impl Read, at_most: u64, out: &mut impl FnMut(Bytes) -> Result<()>) -> Result<Poured> {
    let mut crc = flate2::Crc::new();
    let mut size = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let read = plain.read(&mut piece).map_err(unreadable)?;
        if read == 0 {
            return Ok(Poured { size, crc: crc.sum() });
        }
        size += read as u64;
        if size > at_most {
            return Err(Error::TooLarge(format!("The image unpacks to more than {at_most} bytes")));
        }
        piece.truncate(read);
        crc.update(&piece);
        out(piece.into())?;
    }
}

const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const PATCHED: u16 = 1 << 5;
const LENGTHS_FOLLOW: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

struct Header {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    plain: u64,
}

fn unzip(archive: &mut impl BufRead, at_most: u64, out: &mut impl FnMut(Bytes) -> Result<()>) -> Result<()> {
    if u32_of(archive)? != LOCAL {
        return Err(wrong("the archive does not begin with a file"));
    }
    let header = local_header(archive)?;
    if header.flags & (ENCRYPTED | PATCHED) != 0 {
        return Err(wrong("the archive is encrypted or a patch"));
    }
    let follows = header.flags & LENGTHS_FOLLOW != 0;
    let poured = match header.method {
        DEFLATED => pour(&mut DeflateDecoder::new(&mut *archive), at_most, out)?,
        // Where it ended would be anybody's guess.
        STORED if follows => return Err(wrong("the archive does not say how long its file is")),
        STORED if header.packed != header.plain => return Err(wrong("the archive contradicts itself")),
        STORED => pour(&mut Read::take(&mut *archive, header.plain), at_most, out)?,
        _ => return Err(wrong("the archive is packed in a way that is not known here")),
    };
    let mut next = u32_of(archive)?;
    if follows {
        next = after_descriptor(archive, next, &poured)?;
    } else if (header.crc, header.plain) != (poured.crc, poured.size) {
        return Err(wrong("its file is not what the archive says"));
    }
    if next == LOCAL {
        return Err(wrong("Archive contains more than one file."));
    }
    if next != CENTRAL {
        return Err(wrong("the archive has no directory"));
    }
    let listed = central_header(archive)?;
    if (listed.crc, listed.method) != (poured.crc, header.method) || listed.plain != poured.size {
        return Err(wrong("its file is not what the archive's directory says"));
    }
    end(archive)
}

/// The lengths that follow a file, with or without a mark before them, in four or eight bytes each. Answers what mark comes
/// after.
fn after_descriptor(archive: &mut impl BufRead, first: u32, poured: &Poured) -> Result<u32> {
    let crc = if first == DESCRIPTOR { u32_of(archive)? } else { first };
    let packed = u32_of(archive)?;
    let plain = u32_of(archive)?;
    let next = u32_of(archive)?;
    if crc != poured.crc {
        return Err(wrong("its file is not what the archive says"));
    }
    if next == CENTRAL || next == LOCAL {
        let is_right = u64::from(plain) == poured.size;
        return if is_right { Ok(next) } else { Err(wrong("its file is not what the archive says")) };
    }
    // Eight bytes each: what was read as the plain length is the upper half of the packed one.
    let _ = packed;
    let upper = u32_of(archive)?;
    if u64::from(upper) << 32 | u64::from(next) != poured.size {
        return Err(wrong("its file is not what the archive says"));
    }
    u32_of(archive)
}

/// After the mark.
fn local_header(archive: &mut impl BufRead) -> Result<Header> {
    u16_of(archive)?;
    let header = whole_header(archive)?;
    let (name, extra) = (u16_of(archive)?, u16_of(archive)?);
    skip(archive, name.into())?;
    long_lengths(archive, extra, header)
}

/// After the mark.
fn central_header(archive: &mut impl BufRead) -> Result<Header> {
    skip(archive, 4)?;
    let header = whole_header(archive)?;
    let (name, extra, comment) = (u16_of(archive)?, u16_of(archive)?, u16_of(archive)?);
    skip(archive, 12)?;
    skip(archive, name.into())?;
    let header = long_lengths(archive, extra, header)?;
    skip(archive, comment.into())?;
    Ok(header)
}

/// What both headers have alike.
fn whole_header(archive: &mut impl BufRead) -> Result<Header> {
    let (flags, method) = (u16_of(archive)?, u16_of(archive)?);
    skip(archive, 4)?;
    let (crc, packed, plain) = (u32_of(archive)?, u32_of(archive)?.into(), u32_of(archive)?.into());
    Ok(Header { flags, method, crc, packed, plain })
}

/// Lengths that don't fit into four bytes stand among the extra fields.
fn long_lengths(archive: &mut impl BufRead, extra: u16, mut header: Header) -> Result<Header> {
    let mut fields = vec![0; extra.into()];
    archive.read_exact(&mut fields).map_err(unreadable)?;
    let mut rest = fields.as_slice();
    while let [a, b, c, d, more @ ..] = rest {
        let (kind, length) = (u16::from_le_bytes([*a, *b]), usize::from(u16::from_le_bytes([*c, *d])));
        let Some((mut field, after)) = more.split_at_checked(length) else {
            return Err(wrong("the archive's header is damaged"));
        };
        if kind == 1 {
            for length in [&mut header.plain, &mut header.packed] {
                if *length == u64::from(u32::MAX) {
                    let (number, after) =
                        field.split_first_chunk::<8>().ok_or_else(|| wrong("the archive's header is damaged"))?;
                    *length = u64::from_le_bytes(*number);
                    field = after;
                }
            }
        }
        rest = after;
    }
    Ok(header)
}

/// The end of the archive, after its directory: one file there was, and nothing comes any more.
fn end(archive: &mut impl BufRead) -> Result<()> {
    let mut mark = u32_of(archive)?;
    if mark == END_64 {
        let (low, high) = (u32_of(archive)?, u32_of(archive)?);
        skip(archive, u64::from(high) << 32 | u64::from(low))?;
        mark = u32_of(archive)?;
        if mark == LOCATOR_64 {
            skip(archive, 16)?;
            mark = u32_of(archive)?;
        }
    }
    if mark == CENTRAL {
        return Err(wrong("Archive contains more than one file."));
    }
    if mark != END {
        return Err(wrong("the archive has no end"));
    }
    skip(archive, 4)?;
    let (here, total) = (u16_of(archive)?, u16_of(archive)?);
    if !matches!((here, total), (1, 1) | (u16::MAX, u16::MAX)) {
        return Err(wrong("Archive contains more than one file."));
    }
    skip(archive, 8)?;
    let comment = u16_of(archive)?;
    skip(archive, comment.into())?;
    if archive.fill_buf().map_err(unreadable)?.is_empty() {
        Ok(())
    } else {
        Err(wrong("something follows the archive"))
    }
}

fn u16_of(archive: &mut impl BufRead) -> Result<u16> {
    let mut bytes = [0; 2];
    archive.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(u16::from_le_bytes(bytes))
}

fn u32_of(archive: &mut impl BufRead) -> Result<u32> {
    let mut bytes = [0; 4];
    archive.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(u32::from_le_bytes(bytes))
}

fn skip(archive: &mut impl BufRead, length: u64) -> Result<()> {
    let skipped = io::copy(&mut Read::take(&mut *archive, length), &mut io::sink()).map_err(unreadable)?;
    if skipped == length { Ok(()) } else { Err(wrong("it ends too early")) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], at_most: u64) -> Result<Vec<u8>> {
        let packing = Packing::of(packed).ok_or_else(|| wrong("not packed"))?;
        let mut plain = Vec::new();
        unpack(packing, packed, at_most, |piece| {
            plain.extend_from_slice(&piece);
            Ok(())
        })?;
        Ok(plain)
    }

    /// An archive as the method and the flags have it; with lengths after the file where they say so.
    pub(crate) fn zip(plain: &[u8], method: u16, flags: u16) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(plain);
        let crc = crc.sum();
        let data = if method == DEFLATED {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        } else {
            plain.to_vec()
        };
        let lengths = [crc, data.len() as u32, plain.len() as u32];
        let bytes = |lengths: [u32; 3]| lengths.map(u32::to_le_bytes).concat();
        let follow = flags & LENGTHS_FOLLOW != 0;
        let shared = |lengths: [u32; 3]| {
            [&20_u16.to_le_bytes()[..], &flags.to_le_bytes(), &method.to_le_bytes(), &[0; 4], &bytes(lengths)].concat()
        };
        let mut archive =
            [&LOCAL.to_le_bytes()[..], &shared(if follow { [0; 3] } else { lengths }), &[4, 0, 0, 0], b"disk", &data]
                .concat();
        if follow {
            archive.extend([&DESCRIPTOR.to_le_bytes()[..], &bytes(lengths)].concat());
        }
        archive.extend(
            [&CENTRAL.to_le_bytes()[..], &[20, 0], &shared(lengths), &[4, 0, 0, 0, 0, 0], &[0; 12], b"disk"].concat(),
        );
        archive.extend([&END.to_le_bytes()[..], &[0; 4], &[1, 0, 1, 0], &[0; 8], &[0; 2]].concat());
        archive
    }

    #[test]
    fn what_was_packed_comes_out_as_it_went_in() {
        let plain: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 253) as u8).collect();
        for packed in [
            gzip(&plain),
            [gzip(&plain[..1000]), gzip(&plain[1000..])].concat(),
            zip(&plain, DEFLATED, 0),
            zip(&plain, DEFLATED, LENGTHS_FOLLOW),
            zip(&plain, STORED, 0),
        ] {
            assert_eq!(unpacked(&packed, 1_000_000).unwrap(), plain);
        }
        assert_eq!(Packing::of(b"QFI\xfb"), None);
        assert_eq!(Packing::of(b""), None);
    }

    #[test]
    fn cve_2013_4463_a_bomb_stops_at_its_bound() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 20);
        let mut came = 0;
        let refused = unpack(Packing::Gzip, bomb.as_slice(), 1 << 20, |piece| {
            came += piece.len();
            Ok(())
        });
        assert!(matches!(refused, Err(Error::TooLarge(_))) && came <= 1 << 20, "{came}");
        for packed in [zip(&[0; 5000], DEFLATED, 0), zip(&[0; 5000], STORED, 0)] {
            assert!(matches!(unpacked(&packed, 4999), Err(Error::TooLarge(_))));
        }
    }

    #[test]
    fn an_archive_cut_anywhere_or_changed_anywhere_is_refused_or_the_same() {
        for packed in [
            gzip(b"bytes of a disk"),
            zip(b"bytes of a disk", DEFLATED, 0),
            zip(b"bytes of a disk", DEFLATED, LENGTHS_FOLLOW),
        ] {
            for length in 0..packed.len() {
                assert!(unpacked(&packed[..length], 100).is_err(), "cut at {length}");
            }
            for at in 0..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x55;
                if let Ok(plain) = unpacked(&changed, 100) {
                    assert_eq!(plain, b"bytes of a disk", "byte {at}");
                }
            }
        }
    }

    #[test]
    fn an_archive_of_several_files_or_with_a_secret_is_refused() {
        let one = zip(b"one", STORED, 0);
        let entry = &one[..34 + 3];
        let two = [entry, &one].concat();
        assert!(unpacked(&two, 100).unwrap_err().to_string().contains("more than one file"));
        for flags in [1, 1 << 5, 1 << 6, 1 << 13] {
            assert!(unpacked(&zip(b"one", STORED, flags), 100).is_err(), "{flags}");
        }
        assert!(unpacked(&zip(b"one", STORED, LENGTHS_FOLLOW), 100).is_err());
        assert!(unpacked(&zip(b"one", 12, 0), 100).is_err());
        assert!(unpacked(&[&one[..], b"PK"].concat(), 100).is_err());
        assert!(unpacked(b"xx-lh5-", 100).unwrap_err().to_string().contains("LHA"));
    }
}
