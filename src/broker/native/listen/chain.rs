//! The certificates between a server's own and its root: what the server's file lacks, its `cafile` may have.

use rustls::pki_types::CertificateDer;
use tokio_rustls::rustls;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// A chain is never longer; a ring of certificates ends there.
const LONGEST: usize = 8;

/// Adds the signers of the last certificate that are among `known`, up to the root, as OpenSSL does for mosquitto. The
/// root itself is left out: who trusts it has it.
pub(super) fn complete(chain: &mut Vec<CertificateDer<'static>>, known: &[CertificateDer<'static>]) {
    while chain.len() < LONGEST {
        let Some(last) = chain.last().and_then(|last| Certificate::from_der(last).ok()) else {
            return;
        };
        let issuer = last.tbs_certificate().issuer();
        let signer = known.iter().find(|candidate| {
            Certificate::from_der(candidate).is_ok_and(|candidate| {
                let candidate = candidate.tbs_certificate();
                candidate.subject() == issuer && candidate.issuer() != candidate.subject()
            })
        });
        match signer {
            Some(signer) => chain.push(signer.clone()),
            None => return,
        }
    }
}
