//! Loading the object, and attaching its programs by pinned links.
//!
//! Maps are pinned by name and reused; links are pinned, and a restarted agent puts the new
//! program into the old link, so that no packet passes unjudged in between.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader, include_bytes_aligned,
    maps::{Map, MapError, ProgramArray},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, SkLookup, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};

use weir_abi::conntrack::Share;

use crate::{pins::Pins, sweep};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-ebpf.o"));

const CLASSIFIERS: [&str; 7] = [
    "from_pod",
    "to_pod",
    "to_host",
    "from_host",
    "to_proxy",
    "leave_proxy",
    "from_proxy",
];
const LOOKUPS: [&str; 2] = ["steer_ingress", "steer_egress"];
/// In the order of `JUDGES`. They need Linux 6.9.
const JUDGES: [&str; 2] = ["judge_client", "judge_server"];
const SET_STATE: &str = "set_state";
const SWEEP: &str = "sweep";
/// `bpf(2)` commands that aya does not wrap for these link types.
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_LINK_UPDATE: libc::c_int = 29;

/// The loaded programs and their maps.
#[derive(Debug)]
pub struct Programs {
    ebpf: Ebpf,
    links: PathBuf,
}

/// What can go wrong while loading and attaching.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// The kernel is too old.
    #[error(
        "this kernel ({found}) has no tcx: Weir needs Linux 6.6 or later; \
         nothing was attached and no policy is in force"
    )]
    Kernel {
        /// Its release.
        found: String,
    },
    /// Not allowed.
    #[error(
        "not allowed to load kernel programs: Weir's agent needs root (CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN)"
    )]
    Privilege,
    /// The object was not loaded.
    #[error("cannot load the kernel programs: {source}")]
    Load {
        /// Why.
        #[source]
        source: EbpfError,
    },
    /// A program was refused.
    #[error("the kernel refused program `{program}`: {source}")]
    Program {
        /// Which.
        program: String,
        /// Why, with the verifier's log where there is one.
        #[source]
        source: ProgramError,
    },
    /// A program is not in the object.
    #[error("the object has no program or map `{name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A map is not of the type expected.
    #[error("map `{name}`: {source}")]
    Map {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: MapError,
    },
    /// Attaching failed.
    #[error("cannot attach `{program}` to {place}: {reason}")]
    Attach {
        /// Which program.
        program: String,
        /// The interface or network namespace.
        place: String,
        /// Why.
        reason: String,
    },
}

/// Which hook of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Packets that arrive on it.
    Ingress,
    /// Packets that leave by it.
    Egress,
}

/// Where among the programs of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before those that are there.
    First,
    /// Behind them.
    Last,
}

// === impl Programs ===

impl Programs {
    /// Loads the programs; maps that an earlier agent pinned are taken over.
    pub fn load(pinned: &Pins) -> Result<Self, ProgramsError> {
        let pins = pinned.maps();
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(&pins);
        for (map, entries) in pinned.sizes().maps() {
            loader.map_max_entries(map, entries);
        }
        let mut ebpf = loader.load(OBJECT).map_err(|source| {
            if nix::unistd::geteuid().is_root() {
                ProgramsError::Load { source }
            } else {
                ProgramsError::Privilege
            }
        })?;
        for name in CLASSIFIERS {
            let program: &mut SchedClassifier = program(&mut ebpf, name)?;
            program.load().map_err(|source| refused(name, source))?;
        }
        for name in LOOKUPS {
            let program: &mut SkLookup = program(&mut ebpf, name)?;
            program.load().map_err(|source| refused(name, source))?;
        }
        load_and_pin(&mut ebpf, SWEEP, &pinned.sweep())?;
        Ok(Self {
            ebpf,
            links: pinned.links(),
        })
    }

    /// Has every flow of an endpoint told of as ended, before the endpoint goes.
    pub(crate) fn end_flows(&mut self, endpoint: u16, share: Share) -> Result<(), ProgramsError> {
        let program: &mut SchedClassifier = program(&mut self.ebpf, SWEEP)?;
        for asked in sweep::ring(endpoint, share, true) {
            sweep::run(program, &asked).map_err(|source| refused(SWEEP, source))?;
        }
        Ok(())
    }

    /// Loads the programs that judge requests, puts them where the others call them, and pins what
    /// whoever takes a connection over needs.
    pub fn load_judges(&mut self, pinned: &Pins) -> Result<(), ProgramsError> {
        load_judges(&mut self.ebpf, pinned)
    }

    /// Takes a map out, to be driven on its own.
    pub fn take_map(&mut self, name: &str) -> Result<Map, ProgramsError> {
        self.ebpf
            .take_map(name)
            .ok_or_else(|| ProgramsError::Missing { name: name.into() })
    }

    /// How many entries a map can hold.
    pub fn room(&self, name: &str) -> Result<u32, ProgramsError> {
        let missing = || ProgramsError::Missing { name: name.into() };
        let map = self.ebpf.map(name).ok_or_else(missing)?;
        let (Map::HashMap(map) | Map::LpmTrie(map)) = map else {
            return Err(missing());
        };
        let info = map.info().map_err(|source| ProgramsError::Map {
            name: name.into(),
            source,
        })?;
        Ok(info.max_entries())
    }

    /// A loaded classifier, for test runs.
    pub fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier, ProgramsError> {
        program(&mut self.ebpf, name)
    }

    /// Attaches a program to an interface of the calling thread's network namespace, or puts it
    /// into the link pinned as `pin`. The link outlives this process.
    pub fn attach(
        &mut self,
        name: &str,
        interface: &str,
        hook: Hook,
        pin: &str,
    ) -> Result<(), ProgramsError> {
        self.attach_at(name, interface, hook, Place::Last, pin)
    }

    /// As [`Self::attach`], at a place of its own.
    pub fn attach_at(
        &mut self,
        name: &str,
        interface: &str,
        hook: Hook,
        place: Place,
        pin: &str,
    ) -> Result<(), ProgramsError> {
        let path = self.links.join(pin);
        let failed = |reason: String| ProgramsError::Attach {
            program: name.into(),
            place: format!("interface `{interface}`"),
            reason,
        };
        let program: &mut SchedClassifier = program(&mut self.ebpf, name)?;
        if let Some(old) = adopt(&path).map_err(|error| failed(error.to_string()))? {
            let link = SchedClassifierLink::try_from(old).map_err(|e| failed(e.to_string()))?;
            if let Ok(id) = program.attach_to_link(link) {
                // The pin keeps the link; dropping our handle only closes a descriptor.
                let link = program.take_link(id).map_err(|e| failed(e.to_string()))?;
                drop(link);
                return Ok(());
            }
            // The interface behind the old link is gone, or it could not be told apart from that:
            // the old link goes only when a new one is there.
        }
        let hook = match hook {
            Hook::Ingress => TcAttachType::Ingress,
            Hook::Egress => TcAttachType::Egress,
        };
        let options = TcAttachOptions::TcxOrder(match place {
            Place::First => LinkOrder::first(),
            Place::Last => LinkOrder::default(),
        });
        let id = program
            .attach_with_options(interface, hook, options)
            .map_err(|error| failed(with_causes(&error)))?;
        let link: FdLink = program
            .take_link(id)
            .and_then(|link| link.try_into().map_err(|_| ProgramError::NotLoaded))
            .map_err(|error| failed(error.to_string()))?;
        replace_pin(&path, link).map_err(failed)
    }

    /// Attaches a steering program to a network namespace, or replaces the program in its link.
    pub fn steer(&mut self, name: &str, netns: BorrowedFd<'_>) -> Result<(), ProgramsError> {
        let path = self.links.join(name);
        let failed = |reason: String| ProgramsError::Attach {
            program: name.into(),
            place: "the proxy's network namespace".into(),
            reason,
        };
        let program: &mut SkLookup = program(&mut self.ebpf, name)?;
        if is_pinned(&path).map_err(|error| failed(error.to_string()))? {
            let fd = program.fd().map_err(|error| failed(error.to_string()))?;
            if update_link(&path, fd.as_fd().as_raw_fd()).is_ok() {
                return Ok(());
            }
            // The network namespace behind the old link is gone, or it could not be told apart
            // from that: the old link goes only when a new one is there.
        }
        let id = program
            .attach(netns)
            .map_err(|error| failed(with_causes(&error)))?;
        let link: FdLink = program
            .take_link(id)
            .map_err(|error| failed(error.to_string()))?
            .into();
        replace_pin(&path, link).map_err(failed)
    }

    /// Detaches what is pinned as `pin`; nothing happens where there is no such pin.
    pub fn detach(&self, pin: &str) -> io::Result<()> {
        remove_pin(&self.links.join(pin))
    }

    /// Names of the pinned links.
    pub fn pinned(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.links)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

fn load_judges(ebpf: &mut Ebpf, pinned: &Pins) -> Result<(), ProgramsError> {
    for name in JUDGES {
        let program: &mut SchedClassifier = program(ebpf, name)?;
        program.load().map_err(|source| refused(name, source))?;
    }
    let failed = |source| ProgramsError::Map {
        name: "JUDGES".to_owned(),
        source,
    };
    let map = ebpf.take_map("JUDGES");
    let missing = || ProgramsError::Missing {
        name: "JUDGES".to_owned(),
    };
    let mut judges = ProgramArray::try_from(map.ok_or_else(missing)?).map_err(failed)?;
    for (place, name) in (0..).zip(JUDGES) {
        let program: &mut SchedClassifier = program(ebpf, name)?;
        let fd = program.fd().map_err(|source| refused(name, source))?;
        judges.set(place, fd, 0).map_err(failed)?;
    }
    load_and_pin(ebpf, SET_STATE, &pinned.set_state())
}

/// Loads a program that is run by [`test runs`](aya::programs::TestRun) and attached nowhere, and
/// pins it for whoever runs it.
fn load_and_pin(ebpf: &mut Ebpf, name: &str, pin: &Path) -> Result<(), ProgramsError> {
    let attach = |reason: String| ProgramsError::Attach {
        program: name.to_owned(),
        place: pin.display().to_string(),
        reason,
    };
    let program: &mut SchedClassifier = program(ebpf, name)?;
    program.load().map_err(|source| refused(name, source))?;
    remove_pin(pin).map_err(|error| attach(error.to_string()))?;
    program
        .pin(pin)
        .map_err(|error| attach(with_causes(&error)))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramsError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| ProgramsError::Missing { name: name.into() })?
        .try_into()
        .map_err(|source| refused(name, source))
}

fn refused(name: &str, source: ProgramError) -> ProgramsError {
    ProgramsError::Program {
        program: name.into(),
        source,
    }
}

fn adopt(path: &Path) -> io::Result<Option<FdLink>> {
    if !is_pinned(path)? {
        return Ok(None);
    }
    let link = PinnedLink::from_pin(path).map_err(io::Error::other)?;
    Ok(Some(link.into()))
}

/// Whether there is a pin; an error says nothing of it.
fn is_pinned(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// Pins a link where another may be pinned, which goes in the same moment: there is always one.
fn replace_pin(path: &Path, link: FdLink) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    // A name in bpffs has no dots.
    beside.push("-new");
    let beside = std::path::PathBuf::from(beside);
    remove_pin(&beside).map_err(|error| error.to_string())?;
    let pinned = link.pin(&beside).map_err(|error| error.to_string())?;
    drop(pinned);
    std::fs::rename(&beside, path).map_err(|error| error.to_string())
}

fn remove_pin(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An error with all that caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `BPF_OBJ_GET` and `BPF_LINK_UPDATE`: aya replaces programs only in tcx links.
fn update_link(path: &Path, program: RawFd) -> io::Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        words: [u64; 16],
    }
    let bpf = |command: libc::c_int, attributes: &Attributes| {
        // SAFETY: the attributes live through the call and are as long as said.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                std::ptr::from_ref(attributes),
                size_of::<Attributes>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        RawFd::try_from(result).map_err(io::Error::other)
    };
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
    let mut get = Attributes::default();
    get.words[0] = name.as_ptr() as u64;
    let link = bpf(BPF_OBJ_GET, &get)?;
    // SAFETY: the kernel just gave us this descriptor.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let mut update = Attributes::default();
    // link_fd, new_prog_fd: two u32, in this order.
    update.words[0] = u64::from(link.as_raw_fd() as u32) | u64::from(program as u32) << 32;
    bpf(BPF_LINK_UPDATE, &update).map(|_| ())
}
