//! Whether this kernel can run the programs at all, asked before anything is made.

use crate::programs::ProgramsError;

/// tcx links came with it.
const OLDEST: (u32, u32) = (6, 6);

/// Refuses a kernel that is too old.
pub fn check() -> Result<(), ProgramsError> {
    let found = nix::sys::utsname::uname()
        .map(|uname| uname.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    check_release(found)
}

fn check_release(found: String) -> Result<(), ProgramsError> {
    let mut numbers = found
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        return Err(ProgramsError::Kernel { found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_since_tcx_are_taken() {
        for release in [
            "6.6.0",
            "6.6",
            "6.6-rc1",
            "6.18.44-fc-v595",
            "6.10.11+bpo-amd64",
            "7.0.0",
            "10.1",
        ] {
            assert!(check_release(release.into()).is_ok(), "{release}");
        }
    }

    #[test]
    fn older_kernels_are_refused_by_name() {
        for release in [
            "6.5.13",
            "6.1.0-18-amd64",
            "6",
            "5.15.0-1040-aws",
            "4.19.306",
            "2.6.32",
            "",
            "linux",
        ] {
            let error = check_release(release.into()).expect_err(release);
            assert_eq!(
                error.to_string(),
                format!(
                    "this kernel ({release}) has no tcx: Weir needs Linux 6.6 or later; \
                     nothing was attached and no policy is in force"
                )
            );
        }
    }
}
