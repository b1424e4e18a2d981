//! TLS client hellos made by hand.

/// `bytes` after their length in two bytes.
pub(crate) fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

/// A TLS record.
pub(crate) fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![kind, 3, 1];
    all.extend_from_slice(&wrapped(bytes));
    all
}

/// A client hello that names `name`, with further extensions, in one record.
pub(crate) fn client_hello(name: Option<&str>, extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend_from_slice(&[7; 32]);
    body.push(0);
    body.extend_from_slice(&wrapped(&[0x13, 1, 0x13, 2]));
    body.extend_from_slice(&[1, 0]);
    let mut all = Vec::new();
    let mut extend = |kind: u16, data: &[u8]| {
        all.extend_from_slice(&kind.to_be_bytes());
        all.extend_from_slice(&wrapped(data));
    };
    extend(43, &[2, 3, 4]);
    if let Some(name) = name {
        let mut entry = vec![0];
        entry.extend_from_slice(&wrapped(name.as_bytes()));
        extend(0, &wrapped(&entry));
    }
    for (kind, data) in extensions {
        extend(*kind, data);
    }
    body.extend_from_slice(&wrapped(&all));
    let mut message = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    message[0] = 1;
    message.extend_from_slice(&body);
    record(22, &message)
}
