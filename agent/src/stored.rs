//! What the agent keeps in files for the agent after it; for root's eyes only.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// What an earlier agent stored; nothing where there is no file. A file that holds something else
/// is told, and counts as none.
///
/// # Errors
/// The file could not be read: what is in it is not known.
pub fn load<T: DeserializeOwned + Default>(file: &Path) -> io::Result<T> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => {
            let text = format!("{} cannot be read: {error}", file.display());
            return Err(io::Error::new(error.kind(), text));
        }
    };
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::error!(%error, file = %file.display(), "what an earlier agent knew is lost");
        T::default()
    }))
}

/// Stores it whole or not at all. What cannot be stored is told.
pub fn store(file: &Path, what: &impl Serialize) {
    let partial = file.with_extension("partial");
    let write = || -> io::Result<()> {
        let bytes = serde_json::to_vec(what)?;
        // Not what somebody else made there, with rights of their choice.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        opened.write_all(&bytes)?;
        drop(opened);
        fs::rename(&partial, file)
    };
    if let Err(error) = write() {
        tracing::error!(%error, file = %file.display(), "what the next agent should know is not stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_root_reads_what_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known.json");
        fs::write(
            file.with_extension("partial"),
            "left by a crash, for all to read",
        )
        .unwrap();
        store(&file, &vec![1, 2]);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load::<Vec<u32>>(&file).unwrap(), [1, 2]);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none.json");
        assert_eq!(load::<Vec<u32>>(&none).unwrap(), [0; 0]);
        // Of another kind than what can be read as a file.
        let error = load::<Vec<u32>>(folder.path()).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        fs::write(&none, "[{").unwrap();
        assert_eq!(load::<Vec<u32>>(&none).unwrap(), [0; 0]);
    }
}
