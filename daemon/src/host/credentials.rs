//! Keys and tokens from the service manager: `credential:NAME` in the configuration is the file NAME of `$CREDENTIALS_DIRECTORY`.
//!
//! systemd makes that directory for each start (`LoadCredential=`), readable by the service alone, in memory that is never swapped: so a secret may lie
//! where only root reads it, encrypted even (`LoadCredentialEncrypted=`), and never stands in the environment or on a command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PREFIX: &[u8] = b"credential:";

/// The path that is meant: itself, or that of the credential it names.
///
/// # Errors
/// A name that is none, or no directory of credentials at all.
pub fn resolve(path: &Path) -> Result<PathBuf, String> {
    resolve_in(path, std::env::var_os("CREDENTIALS_DIRECTORY"))
}

fn resolve_in(path: &Path, directory: Option<OsString>) -> Result<PathBuf, String> {
    let Some(name) = path.as_os_str().as_bytes().strip_prefix(PREFIX) else { return Ok(path.to_owned()) };
    let shown = path.display();
    if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
        return Err(format!("{shown}: a credential's name has no slash"));
    }
    let directory = directory.ok_or_else(|| {
        let name = OsStr::from_bytes(name).display();
        format!("{shown}: CREDENTIALS_DIRECTORY is not set: the unit needs LoadCredential={name}:/path/of/the/file")
    })?;
    Ok(PathBuf::from(directory).join(OsStr::from_bytes(name)))
}

/// All of them in place; what could not be is appended to `wrong`.
pub fn resolve_all<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>, wrong: &mut Vec<String>) {
    for path in paths {
        match resolve(path) {
            Ok(resolved) => *path = resolved,
            Err(reason) => wrong.push(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_file_of_the_managers_directory() {
        let resolved = |path: &str| resolve_in(Path::new(path), Some("/run/credentials/verdictd.service".into()));
        assert_eq!(resolved("/etc/x").unwrap(), Path::new("/etc/x"));
        assert_eq!(resolved("credential:admin.token").unwrap(), Path::new("/run/credentials/verdictd.service/admin.token"));
        for odd in ["credential:", "credential:..", "credential:../x", "credential:a/b"] {
            assert!(resolved(odd).unwrap_err().contains("no slash"), "{odd}");
        }
        let error = resolve_in(Path::new("credential:a"), None).unwrap_err();
        assert!(error.contains("LoadCredential=a:"), "{error}");
    }
}
