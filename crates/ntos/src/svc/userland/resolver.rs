//! Names of computers, for the userland's `ws2_32`: `getaddrinfo` and its kin.
//!
//! Key type: [`Arena`], which lays results out in the caller's buffer. Known are numbers, `localhost` and the machine's
//! own name; other names are the host's business ([`crate::host::Host::resolve`]), which a machine without a network
//! does not ask. The argument layouts are observed; the results are those of `ws2tcpip.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::status_table::*;
use abi::{NtResult, NtStatus};
use guest_mem::Va;

use crate::svc::ServiceCx;

const ERROR_INSUFFICIENT_BUFFER: u32 = 122;
const WSAEFAULT: u32 = 10014;
const WSAEAFNOSUPPORT: u32 = 10047;
const WSAESOCKTNOSUPPORT: u32 = 10044;
const WSATYPE_NOT_FOUND: u32 = 10109;
const WSAHOST_NOT_FOUND: u32 = 11001;
const WSANO_RECOVERY: u32 = 11003;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 23;

const AI_PASSIVE: u32 = 1;
const AI_CANONNAME: u32 = 2;
const AI_NUMERICHOST: u32 = 4;
const AI_NUMERICSERV: u32 = 8;

const NI_NUMERICHOST: u32 = 2;
const NI_NAMEREQD: u32 = 4;
const NI_NUMERICSERV: u32 = 8;
const NI_DGRAM: u32 = 16;

/// The name of every machine.
const OWN_NAME: &str = "NTEN";

/// Services that programs ask for by name: what Windows ships in its `services` file, as far as it is common.
const SERVICES: &[(&str, u16)] = &[
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("pop3", 110),
    ("ntp", 123),
    ("imap", 143),
    ("ldap", 389),
    ("https", 443),
];

/// A call of `ws2_32`: the result is a Winsock error, not a status.
pub fn call(cx: &mut ServiceCx<'_>, code: u32, arguments: Va) -> NtResult {
    let argument = |cx: &mut ServiceCx<'_>, index: u64| -> NtResult<u64> {
        cx.read(Va(arguments.0.wrapping_add(index * 8)))
    };
    let error = match code {
        0 => {
            let (node, service) = (argument(cx, 0)?, argument(cx, 1)?);
            let (hints, buffer, size) = (argument(cx, 2)?, argument(cx, 3)?, argument(cx, 4)?);
            get_address_info(cx, [node, service, hints, buffer, size])?
        }
        1 => {
            let (at, words) = (argument(cx, 0)?, argument(cx, 1)?);
            let (buffer, size) = (argument(cx, 2)?, argument(cx, 3)?);
            let bytes = cx.read_vec(Va(at), (words as u32).min(16) as usize)?;
            match address_of(&bytes, (words >> 32) as u32) {
                Some(ip) if ip.is_loopback() => host_entry(cx, OWN_NAME, &[ip], buffer, size)?,
                Some(_) => WSAHOST_NOT_FOUND,
                None => WSAEAFNOSUPPORT,
            }
        }
        2 => {
            let (name, buffer, size) = (argument(cx, 0)?, argument(cx, 1)?, argument(cx, 2)?);
            let name = string(cx, name)?;
            let found: Vec<IpAddr> =
                look_up(cx, &name).into_iter().filter(IpAddr::is_ipv4).collect();
            match found.as_slice() {
                [] => WSAHOST_NOT_FOUND,
                found => host_entry(cx, &name, found, buffer, size)?,
            }
        }
        3 => {
            let (at, size) = (argument(cx, 0)?, argument(cx, 1)?);
            text_answer(cx, at, size as u32, OWN_NAME)?
        }
        4 => get_name_info(cx, arguments)?,
        other => {
            cx.k.notice_once(format!("ws2_32: unix call {other} is not implemented"));
            return Err(STATUS_NOT_IMPLEMENTED);
        }
    };
    Ok(NtStatus(error))
}

/// A zero-terminated string; null is empty.
fn string(cx: &mut ServiceCx<'_>, at: u64) -> NtResult<String> {
    let mut bytes = Vec::new();
    while at != 0 && bytes.len() < 1024 {
        match cx.read::<u8>(Va(at.wrapping_add(bytes.len() as u64)))? {
            0 => break,
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text_answer(cx: &mut ServiceCx<'_>, at: u64, room: u32, text: &str) -> NtResult<u32> {
    if (room as usize) <= text.len() {
        return Ok(WSAEFAULT);
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    cx.write_bytes(Va(at), &bytes)?;
    Ok(0)
}

fn look_up(cx: &mut ServiceCx<'_>, name: &str) -> Vec<IpAddr> {
    if let Ok(ip) = name.parse() {
        return vec![ip];
    }
    if name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(OWN_NAME)
    {
        return vec![IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
    }
    cx.k.host.resolve(name)
}

fn address_of(bytes: &[u8], family: u32) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?)),
        AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?)),
        _ => None,
    }
}

/// Results in the caller's buffer, with pointers into it.
struct Arena {
    base: u64,
    bytes: Vec<u8>,
}

impl Arena {
    fn reserve(&mut self, size: usize) -> usize {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at + size, 0);
        at
    }

    fn put(&mut self, at: usize, from: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + from.len()) {
            place.copy_from_slice(from);
        }
    }

    fn append(&mut self, from: &[u8]) -> u64 {
        let at = self.reserve(from.len());
        self.put(at, from);
        self.base + at as u64
    }

    fn text(&mut self, text: &str) -> u64 {
        self.append(&[text.as_bytes(), &[0]].concat())
    }

    fn point(&mut self, at: usize, to: u64) {
        self.put(at, &to.to_le_bytes());
    }

    /// Copies out, or says how much room is needed.
    fn store(self, cx: &mut ServiceCx<'_>, size_at: u64) -> NtResult<u32> {
        let room: u32 = cx.read(Va(size_at))?;
        if self.bytes.len() > room as usize {
            cx.write(Va(size_at), &(self.bytes.len() as u32))?;
            return Ok(ERROR_INSUFFICIENT_BUFFER);
        }
        cx.write_bytes(Va(self.base), &self.bytes)?;
        Ok(0)
    }
}

/// A `HOSTENT`: name, aliases, type and length, addresses.
fn host_entry(
    cx: &mut ServiceCx<'_>,
    name: &str,
    found: &[IpAddr],
    buffer: u64,
    size: u64,
) -> NtResult<u32> {
    let mut arena = Arena { base: buffer, bytes: Vec::new() };
    let entry = arena.reserve(32);
    let name = arena.text(name);
    let aliases = arena.append(&[0; 8]);
    let list = arena.reserve(8 * (found.len() + 1));
    let (mut family, mut length) = (AF_INET, 4u16);
    for (index, ip) in found.iter().enumerate() {
        let octets = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => {
                (family, length) = (AF_INET6, 16);
                v6.octets().to_vec()
            }
        };
        let at = arena.append(&octets);
        arena.point(list + 8 * index, at);
    }
    arena.point(entry, name);
    arena.point(entry + 8, aliases);
    arena.put(entry + 16, &(family as u16).to_le_bytes());
    arena.put(entry + 18, &length.to_le_bytes());
    arena.point(entry + 24, buffer + list as u64);
    arena.store(cx, size)
}

/// The port of a service by number or name.
fn port_of(service: &str, flags: u32) -> Result<u16, u32> {
    if service.is_empty() {
        return Ok(0);
    }
    if let Ok(port) = service.parse() {
        return Ok(port);
    }
    if flags & AI_NUMERICSERV != 0 {
        return Err(WSAHOST_NOT_FOUND);
    }
    let known = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service));
    known.map(|(_, port)| *port).ok_or(WSATYPE_NOT_FOUND)
}

/// `getaddrinfo(node, service, hints)` into a buffer of `*size` bytes.
fn get_address_info(
    cx: &mut ServiceCx<'_>,
    [node, service, hints, buffer, size]: [u64; 5],
) -> NtResult<u32> {
    let [flags, family, kind, protocol] = match hints {
        0 => [0; 4],
        at => cx.read::<[u32; 4]>(Va(at))?,
    };
    if !matches!(family, 0 | AF_INET | AF_INET6) {
        return Ok(WSAEAFNOSUPPORT);
    }
    if kind > 3 {
        return Ok(WSAESOCKTNOSUPPORT);
    }
    let (name, service) = (string(cx, node)?, string(cx, service)?);
    let port = match port_of(&service, flags) {
        Ok(port) => port,
        Err(error) => return Ok(error),
    };
    let mut found = if node == 0 && flags & AI_PASSIVE != 0 {
        vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
    } else if flags & AI_NUMERICHOST != 0 {
        name.parse().into_iter().collect()
    } else {
        look_up(cx, &name)
    };
    found.retain(|ip| family == 0 || (family == AF_INET6) == ip.is_ipv6());
    if found.is_empty() {
        return Ok(WSAHOST_NOT_FOUND);
    }
    let mut arena = Arena { base: buffer, bytes: Vec::new() };
    let mut last = None;
    for ip in found {
        let entry = arena.reserve(48);
        let mut address = Vec::new();
        let family = if ip.is_ipv6() { AF_INET6 } else { AF_INET };
        address.extend_from_slice(&(family as u16).to_le_bytes());
        address.extend_from_slice(&port.to_be_bytes());
        match ip {
            IpAddr::V4(v4) => {
                address.extend_from_slice(&v4.octets());
                address.extend_from_slice(&[0; 8]);
            }
            IpAddr::V6(v6) => {
                address.extend_from_slice(&[0; 4]);
                address.extend_from_slice(&v6.octets());
                address.extend_from_slice(&[0; 4]);
            }
        }
        for (index, word) in [0, family, kind, protocol].into_iter().enumerate() {
            arena.put(entry + 4 * index, &word.to_le_bytes());
        }
        arena.point(entry + 16, address.len() as u64);
        let at = arena.append(&address);
        arena.point(entry + 32, at);
        if last.is_none() && flags & AI_CANONNAME != 0 {
            let at = arena.text(&name);
            arena.point(entry + 24, at);
        }
        if let Some(last) = last.replace(entry) {
            arena.point(last + 40, buffer + entry as u64);
        }
    }
    arena.store(cx, size)
}

/// `getnameinfo`: address and length, room for a host's name, room for a service's, flags.
fn get_name_info(cx: &mut ServiceCx<'_>, arguments: Va) -> NtResult<u32> {
    let [at, length, host, host_room, service, rest] = cx.read::<[u64; 6]>(arguments)?;
    let (service_room, flags) = (rest as u32, (rest >> 32) as u32);
    let bytes = cx.read_vec(Va(at), (length as u32).min(28) as usize)?;
    let Some([low, high, port_high, port_low]) = bytes.first_chunk::<4>() else {
        return Ok(WSAEFAULT);
    };
    let family = u32::from(u16::from_le_bytes([*low, *high]));
    let port = u16::from_be_bytes([*port_high, *port_low]);
    let place = if family == AF_INET6 { 8 } else { 4 };
    let Some(ip) = address_of(bytes.get(place..).unwrap_or_default(), family) else {
        return Ok(WSAEAFNOSUPPORT);
    };
    if host != 0 && host_room as u32 != 0 {
        let name = match ip.is_loopback() && flags & NI_NUMERICHOST == 0 {
            true => OWN_NAME.to_owned(),
            false if flags & NI_NAMEREQD != 0 => return Ok(WSAHOST_NOT_FOUND),
            false => ip.to_string(),
        };
        match text_answer(cx, host, host_room as u32, &name)? {
            0 => {}
            error => return Ok(error),
        }
    }
    if service != 0 && service_room != 0 {
        let known = SERVICES.iter().find(|(_, known)| *known == port);
        let name = match known {
            Some((name, _)) if flags & (NI_NUMERICSERV | NI_DGRAM) == 0 => (*name).to_owned(),
            _ => port.to_string(),
        };
        match text_answer(cx, service, service_room, &name)? {
            0 => {}
            error => return Ok(error),
        }
    }
    if host == 0 && service == 0 { Ok(WSANO_RECOVERY) } else { Ok(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_ports() {
        assert_eq!(port_of("", 0), Ok(0));
        assert_eq!(port_of("8080", 0), Ok(8080));
        assert_eq!(port_of("HTTP", 0), Ok(80));
        assert_eq!(port_of("http", AI_NUMERICSERV), Err(WSAHOST_NOT_FOUND));
        assert_eq!(port_of("nothing", 0), Err(WSATYPE_NOT_FOUND));
    }
}
