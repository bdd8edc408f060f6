//! Whether an interface is there: the kernel's word, or that it could not be asked.
//!
//! "Could not look" is no answer: whoever takes it for "is not there" opens a pod because
//! descriptors or memory have run out. So an answer is `Ok(Some(..))`, it is there; `Ok(None)`, the
//! kernel says that it is gone; or an error, which says nothing.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Names and indices of the interfaces of one network namespace.
pub trait Interfaces {
    /// Index of the interface of this name.
    ///
    /// # Errors
    /// It is not known whether there is one.
    fn index(&self, name: &str) -> io::Result<Option<u32>>;

    /// Name of the interface of this index.
    ///
    /// # Errors
    /// It is not known whether there is one.
    fn name(&self, index: u32) -> io::Result<Option<String>>;
}

/// Asks the kernel over a socket that is kept: asking needs no descriptor.
#[derive(Debug)]
pub struct Kernel {
    socket: OwnedFd,
}

// === impl Kernel ===

impl Kernel {
    /// Will speak of the calling thread's network namespace, whoever asks.
    ///
    /// # Errors
    /// No socket can be made.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        // Every socket answers netdevice(7)'s requests; this family is in every kernel.
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        Ok(Self { socket })
    }

    fn ask(&self, request: libc::Ioctl, about: &mut libc::ifreq) -> io::Result<Option<()>> {
        // SAFETY: both requests read and write one `ifreq`, which lives through the call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), request, about) };
        if result >= 0 {
            return Ok(Some(()));
        }
        gone(io::Error::last_os_error())
    }
}

impl Interfaces for Kernel {
    fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let mut about = empty();
        // With the zero at its end; no interface has a longer name.
        if name.is_empty() || name.len() >= about.ifr_name.len() {
            return Ok(None);
        }
        for (to, from) in about.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let found = self.ask(libc::SIOCGIFINDEX as libc::Ioctl, &mut about)?;
        // SAFETY: the kernel has just written this field.
        Ok(found.map(|()| unsafe { about.ifr_ifru.ifru_ifindex } as u32))
    }

    fn name(&self, index: u32) -> io::Result<Option<String>> {
        let Ok(index) = libc::c_int::try_from(index) else {
            return Ok(None);
        };
        let mut about = empty();
        about.ifr_ifru.ifru_ifindex = index;
        let found = self.ask(libc::SIOCGIFNAME as libc::Ioctl, &mut about)?;
        let bytes = about.ifr_name.iter().map(|byte| *byte as u8);
        let name: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        Ok(found.map(|()| String::from_utf8_lossy(&name).into_owned()))
    }
}

/// netdevice(7) and net/core/dev_ioctl.c: of an interface that is not there, `ENODEV`; glibc's
/// `if_indextoname` makes `ENXIO` of it. Every other error says nothing of the interface.
fn gone<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO) => Ok(None),
        _ => Err(error),
    }
}

fn empty() -> libc::ifreq {
    // SAFETY: integers and arrays of them only, of which all zeroes are a value.
    unsafe { std::mem::zeroed() }
}

/// Index of an interface of the calling thread's network namespace; needs a descriptor.
///
/// # Errors
/// It is not known whether there is one.
pub fn index(name: &str) -> io::Result<Option<u32>> {
    Kernel::open()?.index(name)
}

/// Name of an interface of the calling thread's network namespace; needs a descriptor.
///
/// # Errors
/// It is not known whether there is one.
pub fn name(index: u32) -> io::Result<Option<String>> {
    Kernel::open()?.name(index)
}

/// Interfaces as a test wants them.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::collections::BTreeMap;

    /// What each interface index has: a name; or, with an error number, no answer.
    #[derive(Debug, Default)]
    pub struct Fake(pub BTreeMap<u32, Result<&'static str, i32>>);

    impl Interfaces for Fake {
        fn index(&self, name: &str) -> io::Result<Option<u32>> {
            let of =
                |(index, known): (&u32, &Result<&str, i32>)| (*known == Ok(name)).then_some(*index);
            Ok(self.0.iter().find_map(of))
        }

        fn name(&self, index: u32) -> io::Result<Option<String>> {
            match self.0.get(&index) {
                None => Ok(None),
                Some(Ok(name)) => Ok(Some((*name).to_owned())),
                Some(Err(errno)) => gone(io::Error::from_raw_os_error(*errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_both_ways() {
        let kernel = Kernel::open().expect("a socket");
        let index = kernel.index("lo").expect("an answer").expect("a loopback");
        assert_eq!(
            kernel.name(index).expect("an answer").as_deref(),
            Some("lo")
        );
        assert_eq!(super::index("lo").expect("an answer"), Some(index));
        for nothing in [
            "",
            "weir-not-there",
            "a name of no interface, being too long",
        ] {
            assert_eq!(kernel.index(nothing).expect("an answer"), None, "{nothing}");
        }
        for nothing in [0, 1 << 30, u32::MAX] {
            assert_eq!(kernel.name(nothing).expect("an answer"), None, "{nothing}");
        }
    }

    #[test]
    fn only_two_errors_say_that_an_interface_is_gone() {
        for errno in 1..134 {
            let said = gone::<()>(io::Error::from_raw_os_error(errno));
            let is_gone = errno == libc::ENODEV || errno == libc::ENXIO;
            assert_eq!(said.is_ok(), is_gone, "errno {errno}");
        }
    }
}
