//! Who a frame on a private link belongs to, said by its source MAC:
//! `02:5a:SIDE:DIRECTION:INDEX`.

/// Who a frame on the link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Index of the endpoint.
    pub endpoint: u16,
    /// Whether the packet came from the pod, in either direction.
    pub from_pod: bool,
    /// Of the flow: see [`crate::policy::direction`]. Only set on the way to the proxy.
    pub direction: u8,
}

impl Label {
    /// As a link-layer address, locally administered.
    #[inline(always)]
    pub const fn to_mac(self) -> [u8; 6] {
        let [high, low] = self.endpoint.to_be_bytes();
        [0x02, 0x5a, self.from_pod as u8, self.direction, high, low]
    }

    /// `None`: not a label of ours.
    #[inline(always)]
    pub const fn from_mac(mac: [u8; 6]) -> Option<Self> {
        match mac {
            [0x02, 0x5a, side, direction, high, low] if side <= 1 && direction <= 1 => Some(Self {
                endpoint: u16::from_be_bytes([high, low]),
                from_pod: side == 1,
                direction,
            }),
            _ => None,
        }
    }
}
