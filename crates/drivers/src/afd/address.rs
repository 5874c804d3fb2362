//! Socket addresses as Winsock lays them out: `sockaddr_in` and `sockaddr_in6`.
//!
//! Source: the public header `ws2def.h`. Inside nten an address is [`std::net::SocketAddr`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use abi::NtResult;
use abi::status_table::*;

/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 23;

/// Reads a `sockaddr`; `STATUS_INVALID_ADDRESS_COMPONENT` if it is none of a known family.
pub fn parse(bytes: &[u8]) -> NtResult<SocketAddr> {
    let family = u16::from_le_bytes(take(bytes, 0)?);
    let port = u16::from_be_bytes(take(bytes, 2)?);
    match family {
        AF_INET => {
            let ip = Ipv4Addr::from(take::<4>(bytes, 4)?);
            Ok(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        AF_INET6 => {
            let flow = u32::from_be_bytes(take(bytes, 4)?);
            let ip = Ipv6Addr::from(take::<16>(bytes, 8)?);
            let scope = u32::from_le_bytes(take(bytes, 24)?);
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
        }
        _ => Err(STATUS_INVALID_ADDRESS_COMPONENT),
    }
}

/// Lays an address out.
pub fn bytes(address: &SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend_from_slice(&AF_INET.to_le_bytes());
            bytes.extend_from_slice(&v4.port().to_be_bytes());
            bytes.extend_from_slice(&v4.ip().octets());
            bytes.extend_from_slice(&[0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend_from_slice(&AF_INET6.to_le_bytes());
            bytes.extend_from_slice(&v6.port().to_be_bytes());
            bytes.extend_from_slice(&v6.flowinfo().to_be_bytes());
            bytes.extend_from_slice(&v6.ip().octets());
            bytes.extend_from_slice(&v6.scope_id().to_le_bytes());
        }
    }
    bytes
}

/// The address of a family that stands for any.
pub fn unspecified(family: u16) -> SocketAddr {
    let ip = match family {
        AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}

/// The address of a family for this machine itself.
pub fn loopback(family: u16) -> IpAddr {
    match family {
        AF_INET6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// The family of an address.
pub fn family(address: &SocketAddr) -> u16 {
    if address.is_ipv6() { AF_INET6 } else { AF_INET }
}

/// Bytes of a fixed length out of a layout.
pub fn take<const N: usize>(bytes: &[u8], at: usize) -> NtResult<[u8; N]> {
    let end = at.checked_add(N).ok_or(STATUS_INVALID_PARAMETER)?;
    let part = bytes.get(at..end).ok_or(STATUS_INVALID_PARAMETER)?;
    part.try_into().map_err(|_| STATUS_INVALID_PARAMETER)
}

/// A 32-bit word out of a layout.
pub fn word(bytes: &[u8], at: usize) -> NtResult<u32> {
    take(bytes, at).map(u32::from_le_bytes)
}

/// A 64-bit word out of a layout.
pub fn long(bytes: &[u8], at: usize) -> NtResult<u64> {
    take(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_layout() {
        for text in ["127.0.0.1:4660", "[fe80::1%3]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(parse(&bytes(&address)).unwrap(), address);
        }
        let layout = bytes(&"127.0.0.1:4660".parse().unwrap());
        assert_eq!(layout, [2, 0, 0x12, 0x34, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&layout[..7]), Err(STATUS_INVALID_PARAMETER));
        assert_eq!(parse(&[9; 16]), Err(STATUS_INVALID_ADDRESS_COMPONENT));
    }
}
