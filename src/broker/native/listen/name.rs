//! The common name in a certificate.

use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Any, Decode, Tag, Tagged};

/// RFC 4519 section 2.3: `cn`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The first common name of the certificate's subject. None if there is none, or one that could pass for another
/// name: empty, or with control characters in it.
pub(super) fn common(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let subject = certificate.tbs_certificate().subject();
    let value = subject.iter().find(|attribute| attribute.oid == COMMON_NAME)?;
    let name = text(&value.value)?;
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

/// The whole subject of the certificate, as RFC 4514 writes it. None if it is empty, or has control characters in it.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let name = certificate.tbs_certificate().subject().to_string();
    (!name.is_empty() && !name.contains(char::is_control)).then_some(name)
}

/// RFC 5280 section 4.1.2.4: the kinds of text of a `DirectoryString` that are in use.
fn text(value: &Any) -> Option<String> {
    let name = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => value
            .decode_as::<PrintableStringRef<'_>>()
            .ok()?
            .as_str()
            .to_owned(),
        Tag::TeletexString => value
            .decode_as::<TeletexStringRef<'_>>()
            .ok()?
            .as_str()
            .to_owned(),
        Tag::BmpString => {
            let units = value.value().chunks(2).map(|pair| match pair {
                [high, low] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            });
            String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()?
        }
        _ => return None,
    };
    Some(name)
}
