//! Why a device says no (section 7).

use std::fmt;

/// A device's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception(pub(crate) u8);

impl Exception {
    /// The function is not known.
    pub(crate) const FUNCTION: Exception = Exception(1);
    /// There is no such address.
    pub(crate) const ADDRESS: Exception = Exception(2);
    /// The number or the value is not allowed.
    pub(crate) const VALUE: Exception = Exception(3);

    /// It can't be done now, and not for any fault of the request.
    pub(crate) const FAILURE: Exception = Exception(4);

    /// Every reason that the specification names; 7 is of the older one (PI-MBUS-300).
    pub(crate) const NAMES: [(u8, &str); 10] = [
        (1, "illegal function"),
        (2, "illegal data address"),
        (3, "illegal data value"),
        (4, "server device failure"),
        (5, "acknowledge"),
        (6, "server device busy"),
        (7, "negative acknowledge"),
        (8, "memory parity error"),
        (10, "gateway path unavailable"),
        (11, "gateway target device failed to respond"),
    ];
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Exception::NAMES.iter().find(|(code, _)| *code == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "exception {}", self.0),
        }
    }
}
