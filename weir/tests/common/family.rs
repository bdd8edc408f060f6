//! IPv4 and IPv6: what holds for one must hold for the other.

/// Both address families, as curl's option says them.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Both beside each other: what is dropped takes its time.
pub fn in_both_families(check: impl Fn(Family) + Sync) {
    std::thread::scope(|scope| {
        for family in FAMILIES {
            let check = &check;
            scope.spawn(move || check(family));
        }
    });
}

// === impl Family ===

impl Family {
    pub fn option(self) -> &'static str {
        match self {
            Family::V4 => "-4",
            Family::V6 => "-6",
        }
    }

    pub fn is_v6(self) -> bool {
        self == Family::V6
    }
}
