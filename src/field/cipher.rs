//! Enciphered payloads of meters: general-glo-ciphering of DLMS (IEC 62056-5-3), AES in Galois/counter mode with a
//! key that the meter's owner has from the grid operator.

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aes::{Aes128, Aes256};
use aes_gcm::{AeadInPlace, AesGcm, Key, KeyInit, Nonce, Tag};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

/// The keys of an enciphered device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Keys {
    /// The key that frames are enciphered with, 32 hexadecimal digits (64 for AES-256).
    pub encryption: Option<Secret>,
    /// The key that goes into the tag of frames that have one. Without it such frames are deciphered all the same,
    /// and their tag is not looked at.
    pub authentication: Option<Secret>,
}

/// A key, in hexadecimal digits; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Vec<u8> = text.bytes().filter(|byte| !b" -:".contains(byte)).collect();
        match data_encoding::HEXLOWER_PERMISSIVE.decode(&digits) {
            Ok(bytes) if matches!(bytes.len(), 16 | 32) => Ok(Secret(bytes)),
            _ => Err(de::Error::custom(
                "a key has 32 hexadecimal digits, or 64 for AES-256",
            )),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A key in hexadecimal digits.", "type": "string" })
    }
}

/// An enciphered frame taken apart.
struct Sealed<'a> {
    title: &'a [u8],
    control: u8,
    counter: &'a [u8],
    text: &'a [u8],
    tag: Option<&'a [u8]>,
}

/// The plain text of an enciphered DLMS frame; None: it is none, the key is missing, or the tag does not hold.
pub(crate) fn decipher(keys: &Keys, bytes: &[u8]) -> Option<Vec<u8>> {
    let sealed = taken_apart(bytes)?;
    let key = keys.encryption.as_ref()?;
    match key.0.len() {
        16 => opened::<AesGcm<Aes128, U12, U12>, AesGcm<Aes128, U12, U16>>(key, keys, &sealed),
        _ => opened::<AesGcm<Aes256, U12, U12>, AesGcm<Aes256, U12, U16>>(key, keys, &sealed),
    }
}

fn taken_apart(bytes: &[u8]) -> Option<Sealed<'_>> {
    let bytes = [[0xe6, 0xe7, 0x00], [0xe6, 0xe6, 0x00]]
        .iter()
        .find_map(|addresses| bytes.strip_prefix(addresses))
        .unwrap_or(bytes);
    let (title, rest) = bytes.strip_prefix(&[0xdb, 8])?.split_at_checked(8)?;
    let (first, rest) = rest.split_first()?;
    let (count, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            rest.get(2..)?,
        ),
        _ => return None,
    };
    // Nothing but the frame's own bytes: a cut frame is none.
    let (control, rest) = rest
        .get(..count)
        .filter(|all| all.len() == rest.len())?
        .split_first()?;
    let (counter, text) = rest.split_at_checked(4)?;
    let (enciphered, authentic, packed) = (control & 0x20 != 0, control & 0x10 != 0, control & 0x80 != 0);
    if !enciphered || packed {
        return None;
    }
    let (text, tag) = match authentic {
        true => text.split_at_checked(text.len().checked_sub(12)?)?,
        false => (text, &[][..]),
    };
    Some(Sealed {
        title,
        control: *control,
        counter,
        text,
        tag: authentic.then_some(tag),
    })
}

/// `Short` has the tags of DLMS, twelve bytes; `Long` only lends its key stream.
fn opened<Short, Long>(key: &Secret, keys: &Keys, sealed: &Sealed<'_>) -> Option<Vec<u8>>
where
    Short: AeadInPlace<NonceSize = U12, TagSize = U12> + KeyInit,
    Long: AeadInPlace<NonceSize = U12, TagSize = U16> + KeyInit,
{
    let nonce: Vec<u8> = [sealed.title, sealed.counter].concat();
    let nonce = Nonce::<U12>::from_slice(&nonce);
    let mut text = sealed.text.to_vec();
    match (sealed.tag, &keys.authentication) {
        (Some(tag), Some(authentication)) => {
            let cipher = Short::new(Key::<Short>::from_slice(&key.0));
            let associated = [&[sealed.control][..], &authentication.0].concat();
            let tag = Tag::<U12>::from_slice(tag);
            cipher
                .decrypt_in_place_detached(nonce, &associated, &mut text, tag)
                .ok()?;
        }
        // A stream cipher: what is enciphered twice is plain.
        _ => {
            let cipher = Long::new(Key::<Long>::from_slice(&key.0));
            cipher.encrypt_in_place_detached(nonce, &[], &mut text).ok()?;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(encryption: &str, authentication: &str) -> Keys {
        let mut text = format!("encryption = '{encryption}'\n");
        if !authentication.is_empty() {
            text.push_str(&format!("authentication = '{authentication}'\n"));
        }
        toml::from_str(&text).unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap()
    }

    /// The example of the Tyrolean grid operators' customer interface (github.com/fneur/smart-meter-tirol).
    const TIROL: &str = "DB084B464D10100000238201092100295B9AEFC1546E644A2C9E32EDD42CBD0F1B945B194D086885C4D8DF86DD52CB5B448854A6D548D5D270739B2A169D05B013F9015070089D3C5FA45CA05E92309A645CC83D7DA40FBC8F4CF9C225AFA69A25FF0B2AC9C2744550ABA53CE9143FD10B0AD85FD30BD6B6DFFEE65F8204DC9C5067CA73B62E299A39D50AA730B2B9AE3836BC2F3490FB41BE5B6F930D84952976369DD7DABBB5A4354AECA1D2486CFF2EB0C6206380BA501D122AF75D716D3092C3960506A15E06FAB0EE5B7DFA3C2CDF0CAFD051B88E44B8B9FB8865F20CB89D1143CDC7EFEB07FB4C4898E764E9E3A32DDC3D1FB46961CE962B2C78050C96598C7E4D26658043F9CBCA78189BD01B139F8AE0F739";

    #[test]
    fn what_is_only_enciphered() {
        let keys = keys("10 11 12 13 14 15 16 17 18 19 1A 1B 1C 1D 1E 1F", "");
        let plain = decipher(&keys, &bytes(TIROL)).unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&plain[..19]),
            "0f0029b2dc0c07e50713010f2e2300ff888002"
        );
        assert!(plain.ends_with(&bytes("0000000902020f001620")));
        assert_eq!(decipher(&Keys::default(), &bytes(TIROL)), None);
        let cut = bytes(TIROL);
        assert_eq!(decipher(&keys, &cut[..cut.len() - 1]), None);
    }

    /// The worked example of the DLMS UA's Green Book (edition 8, table 37): a get-request, with its tag.
    #[test]
    fn what_has_a_tag_must_be_authentic() {
        let (encryption, authentication) = (
            "000102030405060708090A0B0C0D0E0F",
            "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
        );
        let sealed = "db084d4d4d0000bc614e1e3001234567411312ff935a47566827c467bc7d825c3be4a77c3fcc056b6b";
        let plain = "c0010000080000010000ff0200";
        let right = keys(encryption, authentication);
        assert_eq!(decipher(&right, &bytes(sealed)), Some(bytes(plain)));
        assert_eq!(
            decipher(&keys(encryption, ""), &bytes(sealed)),
            Some(bytes(plain))
        );
        assert_eq!(decipher(&keys(encryption, encryption), &bytes(sealed)), None);
        let mut turned = bytes(sealed);
        turned[20] ^= 1;
        assert_eq!(decipher(&right, &turned), None);
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = keys("101112131415161718191a1b1c1d1e1f", "");
        assert!(!format!("{keys:?}").contains("16"), "{keys:?}");
        assert!(toml::from_str::<Keys>("encryption = '1011'").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let keys = keys("101112131415161718191a1b1c1d1e1f", "101112131415161718191a1b1c1d1e1f");
            let _ = decipher(&keys, &rest);
            let _ = decipher(&keys, &[&[0xdb, 8][..], &rest].concat());
            let _ = decipher(&keys, &[&[0xdb, 8, 0, 0, 0, 0, 0, 0, 0, 0, rest.len() as u8, 0x30][..], &rest].concat());
        }
    }
}
