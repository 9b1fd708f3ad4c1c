//! Explicit congestion notification across tunnels (RFC 6040): two bits of the type of service or traffic class.

/// The two bits of the type of service (RFC 3168, section 5).
pub const MASK: u8 = 0x03;
/// The sender does not understand ECN.
pub const NOT_ECT: u8 = 0b00;
/// The sender understands ECN.
pub const ECT_0: u8 = 0b10;
/// The sender understands ECN, and says more by it (RFC 8311).
pub const ECT_1: u8 = 0b01;
/// Congestion was experienced on the way.
pub const CE: u8 = 0b11;

/// What a packet has when it leaves its tunnel (RFC 6040, section 4.2, figure 4); `None` where it is to be dropped,
/// because its sender does not understand the mark that it bears.
///
/// ```text
///  inner    │ outer: Not-ECT   ECT(0)    ECT(1)    CE
///  Not-ECT  │        Not-ECT   Not-ECT   Not-ECT   drop
///  ECT(0)   │        ECT(0)    ECT(0)    ECT(1)    CE
///  ECT(1)   │        ECT(1)    ECT(1)    ECT(1)    CE
///  CE       │        CE        CE        CE        CE
/// ```
#[inline(always)]
pub const fn leaving_tunnel(outer: u8, inner: u8) -> Option<u8> {
    match (outer & MASK, inner & MASK) {
        (CE, NOT_ECT) => None,
        (CE, _) => Some(CE),
        (ECT_1, ECT_0) => Some(ECT_1),
        (_, inner) => Some(inner),
    }
}

/// Whether no tunnel that keeps the rules makes this pair: the outer field says that the sender understands ECN, and the
/// inner one that it does not, or that a mark has been taken away (RFC 6040, section 4.2, marked "!!!").
#[inline(always)]
pub const fn contradicts(outer: u8, inner: u8) -> bool {
    matches!((outer & MASK, inner & MASK), (ECT_0 | ECT_1 | CE, NOT_ECT) | (ECT_1, CE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four columns of figure 4, in its own order.
    const OUTER: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];

    #[test]
    fn the_table_of_rfc_6040() {
        let rows = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None], [false, true, true, true]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)], [false; 4]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)], [false; 4]),
            (CE, [Some(CE); 4], [false, false, true, false]),
        ];
        for (inner, leaving, contradiction) in rows {
            for (column, outer) in OUTER.into_iter().enumerate() {
                assert_eq!(
                    leaving_tunnel(outer, inner),
                    leaving[column],
                    "outer {outer:02b}, inner {inner:02b}"
                );
                assert_eq!(
                    contradicts(outer, inner),
                    contradiction[column],
                    "outer {outer:02b}, inner {inner:02b}"
                );
            }
        }
    }

    #[test]
    fn the_class_of_service_makes_no_difference() {
        for class in 0..=u8::MAX {
            assert_eq!(
                leaving_tunnel(class, ECT_0),
                leaving_tunnel(class & MASK, ECT_0),
                "outer class {class}"
            );
            assert_eq!(leaving_tunnel(CE, class), leaving_tunnel(CE, class & MASK), "inner class {class}");
        }
    }
}
