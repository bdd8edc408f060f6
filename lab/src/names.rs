//! Names that are the same in every run: lab names, hashes, the suffixes of replicas, interfaces.

use anyhow::{Result, bail};

/// What Kubernetes builds the random part of names from: no vowels, so no words by accident.
const SAFE_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a over the parts: the suffixes of names must never change with the Rust version.
pub fn hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // 0xff is in no UTF-8 text, so ("ab", "c") and ("a", "bc") differ.
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    // The low bits of FNV alone spread badly over short inputs.
    hash ^ (hash >> 29)
}

/// `length` letters of a hash, written as Kubernetes writes the suffixes of replicas.
pub fn suffix(mut hash: u64, length: usize) -> String {
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        text.push(char::from(SAFE_LETTERS[(hash % 27) as usize]));
        hash /= 27;
    }
    text
}

/// The node's end of a pod's veth pair.
pub fn interface(lab: &str, namespace: &str, pod: &str) -> String {
    format!("veth{:08x}", hash(&[lab, namespace, pod]) as u32)
}

/// A lab's name is a piece of netns names, where a dash separates.
pub fn check_lab_name(name: &str) -> Result<()> {
    let fits = (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !fits {
        bail!("lab name {name:?}: use 1 to 20 lowercase letters and digits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_stable() {
        assert_eq!(suffix(hash(&["default", "httpbin"]), 5).len(), 5);
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }

    #[test]
    fn interfaces_fit_the_kernel() {
        assert!(interface("lab", "a-long-namespace", "a-very-long-pod-name").len() <= 15);
    }

    #[test]
    fn lab_names_without_dashes() {
        assert!(check_lab_name("e2e1").is_ok());
        for bad in ["", "a-b", "A", "../x", "a23456789012345678901"] {
            assert!(check_lab_name(bad).is_err(), "{bad}");
        }
    }
}
