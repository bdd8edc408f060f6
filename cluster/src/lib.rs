//! Where the objects come from.
