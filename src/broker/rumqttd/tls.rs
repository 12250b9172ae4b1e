//! The files of a listener's TLS: read at start as rumqttd reads them at every connection, so that a mistake is
//! known when somebody looks, and not when the first client is turned away.

use super::super::{StartError, Tls};
use rumqttd_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use rumqttd_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rumqttd_rustls::rustls::pki_types::pem::{self, PemObject};
use rumqttd_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rumqttd_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig,
    ServerConnection, SignatureScheme,
};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Whether the files are there, are what they should be, and belong together.
pub(super) fn check(tls: &Tls) -> Result<(), StartError> {
    let fault = |what, path: &Path, source| StartError::Tls {
        what,
        path: path.to_owned(),
        source,
    };
    let pem = |what, path: &Path, error: pem::Error| {
        let source = match error {
            pem::Error::Io(source) => source,
            pem::Error::NoItemsFound => invalid(format!("there is no {what} in PEM format in it")),
            other => invalid(other.to_string()),
        };
        fault(what, path, source)
    };
    for (what, path) in [("certificate", &tls.certfile), ("key", &tls.keyfile)] {
        if path.to_str().is_none() {
            return Err(fault(what, path, invalid("its name is not UTF-8".into())));
        }
    }
    let certificates = CertificateDer::pem_file_iter(&tls.certfile)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem("certificate", &tls.certfile, error))?;
    if certificates.is_empty() {
        return Err(pem("certificate", &tls.certfile, pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.keyfile).map_err(|error| pem("key", &tls.keyfile, error))?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| fault("key", &tls.keyfile, invalid(error.to_string())))?;
    if strangers(server) {
        let why = format!("it does not belong to the certificate {}", tls.certfile.display());
        return Err(fault("key", &tls.keyfile, invalid(why)));
    }
    Ok(())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether the key is another certificate's. rustls 0.22 does not look, so a handshake with ourselves does: the
/// server signs with its key, the client looks at the signature with the certificate, and at nothing else.
fn strangers(server: ServerConfig) -> bool {
    let client = ring::default_provider();
    let look = Arc::new(Look {
        schemes: client.signature_verification_algorithms,
        bad: Mutex::new(false),
    });
    let client = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(look.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a plain word is a host's name");
    if let (Ok(mut client), Ok(mut server)) = (
        ClientConnection::new(Arc::new(client), name),
        ServerConnection::new(Arc::new(server)),
    ) {
        // Hello and answer; what is wrong beside the signature is not looked for here.
        let mut wire = Vec::new();
        while client.wants_write() && client.write_tls(&mut wire).is_ok() {}
        let mut rest = &wire[..];
        while !rest.is_empty() && server.read_tls(&mut rest).is_ok_and(|n| n > 0) {
            let _ = server.process_new_packets();
        }
        let mut wire = Vec::new();
        while server.wants_write() && server.write_tls(&mut wire).is_ok() {}
        let mut rest = &wire[..];
        while !rest.is_empty() && client.read_tls(&mut rest).is_ok_and(|n| n > 0) {
            let _ = client.process_new_packets();
        }
    }
    *look.bad.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that trusts everybody and remembers whether the signature was the certificate's.
#[derive(Debug)]
struct Look {
    schemes: WebPkiSupportedAlgorithms,
    bad: Mutex<bool>,
}

impl Look {
    fn saw(&self, valid: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadSignature);
        if valid.as_ref().is_err_and(|error| *error == bad) {
            *self.bad.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        valid
    }
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.saw(verify_tls12_signature(message, cert, signed, &self.schemes))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.saw(verify_tls13_signature(message, cert, signed, &self.schemes))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}
