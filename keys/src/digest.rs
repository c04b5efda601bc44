//! File digests: SHA-256, SHA-1, MD5; told apart by their length.

use crate::canonical::hex;
use crate::{Kind, Unparseable};
use verdict_simd::{Backend, Domain, Hash128, HashSchedule};

/// A file digest in binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// 32 bytes.
    Sha256([u8; 32]),
    /// 20 bytes.
    Sha1([u8; 20]),
    /// 16 bytes.
    Md5([u8; 16]),
}

impl Digest {
    /// Hexadecimal of any case; the length tells the kind.
    pub fn parse(text: &str) -> Result<Self, Unparseable> {
        match text.len() {
            64 => Ok(Self::Sha256(from_hex(text)?)),
            40 => Ok(Self::Sha1(from_hex(text)?)),
            32 => Ok(Self::Md5(from_hex(text)?)),
            _ => Err(Unparseable::Digest),
        }
    }

    /// From binary, where `kind` is that of a digest and the length is right.
    pub fn from_bytes(kind: Kind, bytes: &[u8]) -> Result<Self, Unparseable> {
        let digest = match kind {
            Kind::Sha256 => bytes.try_into().map(Self::Sha256),
            Kind::Sha1 => bytes.try_into().map(Self::Sha1),
            Kind::Md5 => bytes.try_into().map(Self::Md5),
            _ => return Err(Unparseable::WrongLength),
        };
        digest.map_err(|_| Unparseable::WrongLength)
    }

    /// The bytes, first byte first.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Md5(bytes) => bytes,
        }
    }

    /// As questions name it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sha256(_) => Kind::Sha256,
            Self::Sha1(_) => Kind::Sha1,
            Self::Md5(_) => Kind::Md5,
        }
    }

    /// Unsealed; `seal` makes it the table's key.
    pub fn hash<B: Backend>(&self, backend: B, schedule: &HashSchedule) -> Hash128 {
        let domain = match self {
            Self::Sha256(_) => Domain::Sha256,
            Self::Sha1(_) => Domain::Sha1,
            Self::Md5(_) => Domain::Md5,
        };
        backend.hash(schedule, domain, self.as_bytes())
    }
}

/// Lower-case hexadecimal.
impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn from_hex<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], Unparseable> {
    let mut out = [0; BYTES];
    for (byte, digits) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let (Some(high), Some(low)) = (hex(digits[0]), hex(digits[1])) else { return Err(Unparseable::Digest) };
        *byte = high << 4 | low;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The EICAR test file.
    const EICAR_MD5: &str = "44d88612fea8a8f36de82e1278abb02f";
    const EICAR_SHA256: &str = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";

    #[test]
    fn hexadecimal_of_any_case_is_one_digest() {
        assert_eq!(Digest::parse(EICAR_MD5), Digest::parse(&EICAR_MD5.to_uppercase()));
        let digest = Digest::parse(EICAR_SHA256).expect("hexadecimal");
        assert_eq!((digest.kind(), digest.to_string().as_str()), (Kind::Sha256, EICAR_SHA256));
        assert_eq!(Digest::from_bytes(Kind::Sha256, digest.as_bytes()), Ok(digest));
    }

    #[test]
    fn wrong_lengths_and_other_characters_are_refused() {
        let spoiled = EICAR_MD5.replace('f', "g");
        for text in ["", "00", &EICAR_MD5[1..], spoiled.as_str(), "+0000000000000000000000000000000", "é000000000000000000000000000000"] {
            assert_eq!(Digest::parse(text), Err(Unparseable::Digest), "{text}");
        }
        assert_eq!(Digest::from_bytes(Kind::Sha1, &[0; 16]), Err(Unparseable::WrongLength));
        assert_eq!(Digest::from_bytes(Kind::Url, &[0; 16]), Err(Unparseable::WrongLength));
    }
}
