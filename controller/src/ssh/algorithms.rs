//! What is offered to a host, and what is not good enough although both sides would do it.

use std::borrow::Cow;
use std::time::Duration;

use russh::client::{Config, GexParams};
use russh::keys::Algorithm;
use russh::{Limits, Names, Preferred, SshId, cipher, compression, kex, mac};

/// A silent host is asked for a sign of life after this, and given up after [`KEEPALIVES`] of them without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES: usize = 3;

/// No SHA-1, no CBC; AES-GCM first, which has the processor's help and cannot be tampered with at the start (Terrapin).
const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const MACS: &[mac::Name] = &[
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512,
    mac::HMAC_SHA256,
];

/// The library's settings; `host_keys` in the order they are asked for, new session keys after `rekey` bytes.
pub(super) fn config(host_keys: Vec<Algorithm>, rekey: Option<usize>) -> Config {
    let usual = Limits::default();
    let limits = match rekey {
        Some(bytes) => Limits {
            rekey_read_limit: bytes.min(usual.rekey_read_limit),
            rekey_write_limit: bytes.min(usual.rekey_write_limit),
            ..usual
        },
        None => usual,
    };
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-longshore_",
            env!("CARGO_PKG_VERSION")
        ))),
        limits,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(host_keys),
            // Nothing here could judge a certificate, so none is asked for.
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        gex: group(),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..Config::default()
    }
}

/// As strong as the rest; the library would ask for groups that take seconds.
fn group() -> GexParams {
    GexParams::new(2048, 3072, 8192).unwrap_or_default()
}

/// Whether what both sides agreed on withstands somebody in between who drops the first messages (Terrapin): by
/// strict key exchange, or by a cipher that does not need it.
pub(super) fn is_safe(names: &Names) -> bool {
    names.strict_kex() || [cipher::AES_256_GCM, cipher::AES_128_GCM].contains(&names.cipher)
}
