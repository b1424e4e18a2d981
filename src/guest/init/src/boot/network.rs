//! The guest's network devices, set up by rtnetlink(7). There is no DHCP and no router to listen to: the only other
//! host on the link is the gateway, and the addresses of both are the same in every box.
//!
//! All is told in one message: under emulation every system call and every path in the kernel that is taken for the
//! first time counts.

use super::fatal::{Fatal, Stage};
use a3s_box_core::NetAddresses;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use std::io;
use std::net::IpAddr;

/// The one device beside the loopback interface.
const DEVICE: &str = "eth0";
/// The loopback interface is the first of all.
const LOOPBACK: u32 = 1;

/// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
const NLMSG_ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const LINK_MTU: u16 = 4;
const LINK_AF_SPEC: u16 = 26;
const INET6: u16 = 10;
const INET6_ADDR_GEN_MODE: u16 = 8;
const GENERATE_NONE: u8 = 1;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const GATEWAY: u16 = 5;
const OUT_INTERFACE: u16 = 4;
const UP: u32 = 1;
const NO_DUPLICATE_CHECK: u8 = 2;
const MAIN_TABLE: u8 = 254;
const BOOT_PROTOCOL: u8 = 3;
const UNICAST: u8 = 1;
const HEADER: usize = 16;

/// Brings the loopback interface up, and the device of a box that has a network; whom such a box asks for names.
pub(super) fn configure() -> Result<Option<IpAddr>, Fatal> {
    set_up().stage("network")
}

fn set_up() -> io::Result<Option<IpAddr>> {
    // NETLINK_ROUTE is the family's protocol 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut requests = Requests::default();
    requests.link(LOOPBACK, UP, |_| {});
    let addresses = NetAddresses::default();
    let resolver = match rustix::net::netdevice::name_to_index(&socket, DEVICE) {
        Ok(index) => {
            requests.device(index, &addresses);
            Some(addresses.gateway4.into())
        }
        Err(Errno::NODEV) => None,
        Err(error) => return Err(error.into()),
    };
    sendto(&socket, requests.finish(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    // The last is answered in any case, and each before it only where it failed.
    let mut answer = [0; 512];
    let (_, count) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = &answer[..count.min(answer.len())];
    match (answer.get(4..6), answer.get(HEADER..HEADER + 4)) {
        (Some(kind), Some(&[a, b, c, d])) if kind == NLMSG_ERROR.to_ne_bytes() => {
            match i32::from_ne_bytes([a, b, c, d]) {
                0 => Ok(resolver),
                error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Requests in a row, as one message holds them.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    /// Where the last one begins.
    last: usize,
}

impl Requests {
    fn device(&mut self, index: u32, addresses: &NetAddresses) {
        // Without a link-local address nothing is announced, asked for or waited for when the device comes up. It is
        // a request of its own because the kernel takes it last of all that one request says.
        self.link(index, 0, |request| {
            request.nested(LINK_AF_SPEC, |request| {
                request.nested(INET6, |request| request.attribute(INET6_ADDR_GEN_MODE, &[GENERATE_NONE]));
            });
        });
        self.link(index, UP, |request| {
            request.attribute(LINK_MTU, &u32::from(addresses.mtu).to_ne_bytes());
        });
        for (address, gateway, prefix) in [
            (IpAddr::from(addresses.guest4), IpAddr::from(addresses.gateway4), addresses.prefix4),
            (IpAddr::from(addresses.guest6), IpAddr::from(addresses.gateway6), addresses.prefix6),
        ] {
            // Nobody else could have the address, so nobody need be asked.
            self.request(NEW_ADDRESS, CREATE, &[family_of(address), prefix, NO_DUPLICATE_CHECK, 0]);
            self.bytes.extend_from_slice(&index.to_ne_bytes());
            self.address(LOCAL, address);
            self.address(ADDRESS, address);
            self.request(NEW_ROUTE, CREATE, &[family_of(address), 0, 0, 0]);
            self.bytes.extend_from_slice(&[MAIN_TABLE, BOOT_PROTOCOL, 0, UNICAST, 0, 0, 0, 0]);
            self.address(GATEWAY, gateway);
            self.attribute(OUT_INTERFACE, &index.to_ne_bytes());
        }
    }

    /// Sets the flag `flags` of a device, and what `attributes` says.
    fn link(&mut self, index: u32, flags: u32, attributes: impl FnOnce(&mut Self)) {
        self.request(NEW_LINK, 0, &[0; 4]);
        for word in [index, flags, flags] {
            self.bytes.extend_from_slice(&word.to_ne_bytes());
        }
        attributes(self);
    }

    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) {
        self.close();
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(body);
    }

    /// Writes the length of the last request.
    fn close(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.last).unwrap_or(u32::MAX);
        if let Some(head) = self.bytes.get_mut(self.last..self.last + 4) {
            head.copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// All of them, of which the last asks for an answer.
    fn finish(&mut self) -> &[u8] {
        self.close();
        if let Some(flags) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
        &self.bytes
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |request| request.bytes.extend_from_slice(value));
    }

    fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        inner(self);
        let length = u16::try_from(self.bytes.len() - begin).unwrap_or(u16::MAX);
        self.bytes[begin..begin + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// AF_INET or AF_INET6.
fn family_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}
