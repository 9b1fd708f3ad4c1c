//! Native or generic: what `--xdp-mode auto` should try on a device, and why.

/// What to do with a device of some driver. The reason is a clause for the log, `check` and `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpAdvice {
    /// The driver has native XDP.
    Native(&'static str),
    /// Generic XDP is the better or the only choice.
    Generic(&'static str),
    /// Not known: try native, then generic with a warning.
    TryNative(&'static str),
}

impl XdpAdvice {
    /// The clause that says why.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Native(reason) | Self::Generic(reason) | Self::TryNative(reason) => reason,
        }
    }
}

/// Drivers with native XDP that transmits, as of Linux 6.12. What is missing here is tried all the same.
const NATIVE: &[&str] = &[
    "atlantic",
    "bnxt_en",
    "bonding",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "gve",
    "i40e",
    "iavf",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "mvpp2",
    "nfp",
    "qede",
    "sfc",
    "stmmac",
    "thunder-nicvf",
    "vmxnet3",
];

/// Drivers of devices that stand on another one and have no native XDP: the program belongs on the one below.
/// A VLAN goes by its kind on Linux 6.1, and by a full name on others.
const STACKED: &[&str] = &[
    "802.1Q VLAN Support",
    "bridge",
    "ipvlan",
    "macvlan",
    "openvswitch",
    "team",
    "vlan",
    "vxlan",
    "wireguard",
];

/// Advice by the driver's name as ethtool tells it ([`Interface::driver`](super::Interface::driver)).
pub fn xdp_advice(driver: Option<&str>) -> XdpAdvice {
    match driver {
        Some("veth") => XdpAdvice::Generic(
            "native XDP on veth transmits only with help of the far end and loses packets with unfinished checksums",
        ),
        Some("virtio_net") => XdpAdvice::Native(
            "the driver has native XDP when the hypervisor gives it a spare transmit queue for each CPU",
        ),
        Some("hv_netvsc") => XdpAdvice::Native("the driver has native XDP once LRO is off"),
        Some("bonding") => XdpAdvice::Native("a bond has native XDP when every device in it has"),
        Some(driver) if STACKED.contains(&driver) => {
            XdpAdvice::Generic("the device stands on another one; attach to that for native XDP")
        }
        Some(driver) if NATIVE.contains(&driver) => XdpAdvice::Native("the driver has native XDP"),
        Some(_) => XdpAdvice::TryNative("the driver is not known to have native XDP"),
        None => XdpAdvice::Generic("the device has no driver of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_ones_are_sorted_out() {
        assert!(matches!(xdp_advice(Some("veth")), XdpAdvice::Generic(_)));
        assert!(matches!(xdp_advice(Some("mlx5_core")), XdpAdvice::Native(_)));
        assert!(matches!(xdp_advice(Some("virtio_net")), XdpAdvice::Native(_)));
        assert!(matches!(xdp_advice(Some("vlan")), XdpAdvice::Generic(_)));
        assert!(matches!(xdp_advice(Some("802.1Q VLAN Support")), XdpAdvice::Generic(_)));
        assert!(matches!(xdp_advice(Some("r8169")), XdpAdvice::TryNative(_)));
        assert!(matches!(xdp_advice(None), XdpAdvice::Generic(_)));
    }
}
