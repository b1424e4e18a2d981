use super::*;
use a3s_box_core::NetAddresses;
use std::net::SocketAddr;

fn identity() -> Identity {
    let NetAddresses { mac, gateway_mac, guest4, gateway4, guest6, gateway6, .. } = NetAddresses::default();
    Identity { guest: mac, gateway: gateway_mac, guest4, gateway4, guest6, gateway6 }
}

/// The identity of the guest's side, for which what we send is what it receives.
fn mirrored() -> Identity {
    let Identity { guest, gateway, guest4, gateway4, guest6, gateway6 } = identity();
    let (guest4, gateway4, guest6, gateway6) = (gateway4, guest4, gateway6, guest6);
    Identity { guest: gateway, gateway: guest, guest4, gateway4, guest6, gateway6 }
}

#[test]
fn what_is_written_reads_back() {
    for gateway in ["10.163.80.1:443", "[fda3:50::1]:443"] {
        let source: SocketAddr = gateway.parse().unwrap();
        let flags = Flags::SYN.with(Flags::ACK);
        let options = Options { mss: Some(65_480), window_scale: Some(7) };
        let header = Header { source, destination: 5000, seq: 1, ack: 2, flags, window: 512, options };
        let mut frame = vec![0; HeaderRoom::of(source).bytes()];
        frame.extend_from_slice(b"hello");
        Header { options: Options::default(), ..header }.write(&identity(), &mut frame);
        for (frame, data, options) in
            [(header.frame(&identity()), &b""[..], options), (frame, b"hello", Options::default())]
        {
            assert_eq!(usize::try_from(be32(&frame, 0).unwrap()).unwrap(), frame.len() - PREFIX);
            let Inbound::Ip(datagram) = read(&mirrored(), &frame[PREFIX..]).unwrap() else { panic!() };
            let protocol = 6;
            let sum = checksum::Sum::pseudo(
                datagram.source,
                datagram.destination,
                protocol,
                datagram.payload.len(),
            );
            assert!(checksum::verifies(sum, datagram.payload));
            let segment = Segment::read(&datagram).unwrap();
            assert_eq!((segment.source, segment.destination.port()), (443, 5000));
            assert_eq!((segment.seq, segment.ack, segment.window), (1, 2, 512));
            assert_eq!((segment.options, segment.data), (options, data));
        }
        let frame = udp_frame(&identity(), source, 53, b"odd");
        let Inbound::Ip(datagram) = read(&mirrored(), &frame[PREFIX..]).unwrap() else { panic!() };
        let sum = checksum::Sum::pseudo(datagram.source, datagram.destination, 17, datagram.payload.len());
        assert!(checksum::verifies(sum, datagram.payload));
        let udp = Udp::read(&datagram).unwrap();
        assert_eq!((udp.source, udp.destination.port(), udp.data), (443, 53, &b"odd"[..]));
    }
}

#[test]
fn padding_after_a_datagram_is_cut_off() {
    let mut frame = udp_frame(&identity(), "10.163.80.1:1".parse().unwrap(), 2, b"x");
    frame.extend_from_slice(&[0; 20]);
    let Inbound::Ip(datagram) = read(&mirrored(), &frame[PREFIX..]).unwrap() else { panic!() };
    assert_eq!(Udp::read(&datagram).unwrap().data, b"x");
}
