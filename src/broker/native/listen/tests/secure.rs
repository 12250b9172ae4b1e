//! TLS: who is let in, and what files it takes.

use super::support::*;
use crate::broker::native::listen::bind;
use crate::broker::{Tls, Transport};
use crate::causes::Causes;
use std::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version;

/// A client that is let in or turned away: the client of TLS 1.3 learns the latter only when it reads.
async fn comes_in(
    house: &mut House,
    authority: &Authority,
    caller: &Caller,
) -> Result<Option<String>, String> {
    let called = async {
        let mut client = tls(house, authority, caller).await?;
        client.write_all(b"hello").await?;
        client.flush().await?;
        Ok::<_, std::io::Error>(client)
    };
    let client = called.await;
    match house.next().await {
        Ok((mut stream, name, _)) => {
            let mut got = [0; 5];
            soon(stream.read_exact(&mut got)).await.unwrap();
            Ok(name)
        }
        Err(error) => {
            if let Ok(mut client) = client {
                end(&mut client)
                    .await
                    .expect_err("a client that was turned away learns of it");
            }
            Err(error.to_string())
        }
    }
}

#[tokio::test]
async fn bytes_pass_with_both_versions() {
    let authority = Authority::new();
    let mut house = House::open(&listener(
        Transport::Tcp,
        Some(files(&authority.sign("server", None, 1))),
    ))
    .await;
    assert!(house.bound.tls);
    for only in [&version::TLS12, &version::TLS13] {
        let caller = Caller {
            only: Some(only),
            ..Caller::default()
        };
        let mut client = tls(&house, &authority, &caller).await.unwrap();
        let (mut stream, name) = house.guest().await;
        assert_eq!(name, None);
        pass(&mut client, &mut stream, b"x").await;
        pass(&mut client, &mut stream, &much()).await;

        stream.shutdown().await.unwrap();
        assert_eq!(end(&mut client).await.unwrap(), b"");
        // Gone without a farewell of TLS is gone.
        client.get_mut().0.shutdown().await.unwrap();
        assert_eq!(end(&mut stream).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn the_protocol_inside_is_agreed_on() {
    let authority = Authority::new();
    let files = files(&authority.sign("server", None, 1));
    for (transport, ours) in [(Transport::Tcp, "mqtt"), (Transport::Websocket, "http/1.1")] {
        let house = House::open(&listener(transport, Some(files.clone()))).await;
        let caller = |protocol: &str| Caller {
            alpn: vec![protocol.into()],
            ..Caller::default()
        };
        let client = tls(&house, &authority, &caller(ours)).await.unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(ours.as_bytes()));
        tls(&house, &authority, &caller("ftp")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_certificate_may_be_wanted_or_needed_or_revoked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.sign("server", None, 1);
    let caller = |identity: &Identity| Caller {
        identity: Some(identity.clone()),
        ..Caller::default()
    };
    let garden = caller(&authority.sign("garden", Some("garden"), 7));
    let nobody = caller(&authority.sign("nobody", None, 8));
    let foreign = caller(&stranger.sign("garden", Some("garden"), 7));
    let nameless = Caller::default();

    let wanted = Tls {
        cafile: Some(authority.cafile()),
        ..files(&server)
    };
    let mut house = House::open(&listener(Transport::Tcp, Some(wanted.clone()))).await;
    for caller in [&garden, &nobody, &nameless] {
        assert_eq!(comes_in(&mut house, &authority, caller).await, Ok(None));
    }
    comes_in(&mut house, &authority, &foreign).await.unwrap_err();

    let named = Tls {
        use_identity_as_username: true,
        use_subject_as_username: false,
        ..wanted.clone()
    };
    let mut house = House::open(&listener(Transport::Tcp, Some(named.clone()))).await;
    assert_eq!(
        comes_in(&mut house, &authority, &garden).await,
        Ok(Some("garden".into()))
    );
    assert_eq!(comes_in(&mut house, &authority, &nameless).await, Ok(None));
    let why = comes_in(&mut house, &authority, &nobody).await.unwrap_err();
    assert!(why.contains("no common name"), "{why}");

    let needed = Tls {
        require_certificate: true,
        ..named
    };
    let mut house = House::open(&listener(Transport::Tcp, Some(needed.clone()))).await;
    assert_eq!(
        comes_in(&mut house, &authority, &garden).await,
        Ok(Some("garden".into()))
    );
    for only in [&version::TLS12, &version::TLS13] {
        for identity in [None, foreign.identity.clone()] {
            let caller = Caller {
                only: Some(only),
                identity,
                ..Caller::default()
            };
            comes_in(&mut house, &authority, &caller).await.unwrap_err();
        }
    }

    let listed = Tls {
        crlfile: Some(authority.revoke(&[99])),
        ..needed
    };
    let mut house = House::open(&listener(Transport::Tcp, Some(listed))).await;
    comes_in(&mut house, &authority, &garden).await.unwrap();
    // The list is read again when it changes, as the other files are.
    authority.revoke(&[99, 7]);
    let why = comes_in(&mut house, &authority, &garden).await.unwrap_err();
    assert!(why.contains("Revoked"), "{why}");
}

#[tokio::test]
async fn renewed_files_are_used_and_broken_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = old.sign("server", None, 1);
    let mut house = House::open(&listener(Transport::Tcp, Some(files(&server)))).await;
    let caller = Caller::default();
    let mut early = tls(&house, &old, &caller).await.unwrap();
    let (mut early_stream, _) = house.guest().await;

    let renewed = new.sign("server", None, 2);
    // Half of it: the new certificate with the old key. And no file at all.
    replace(&server.cert, &fs::read(&renewed.cert).unwrap());
    comes_in(&mut house, &old, &caller).await.unwrap();
    replace(&server.cert, b"not a certificate");
    comes_in(&mut house, &old, &caller).await.unwrap();
    fs::remove_file(&server.key).unwrap();
    comes_in(&mut house, &old, &caller).await.unwrap();

    replace(&server.cert, &fs::read(&renewed.cert).unwrap());
    replace(&server.key, &fs::read(&renewed.key).unwrap());
    comes_in(&mut house, &new, &caller).await.unwrap();
    comes_in(&mut house, &old, &caller).await.unwrap_err();
    // Those who were there before notice nothing.
    pass(&mut early, &mut early_stream, b"still here").await;
}

#[tokio::test]
async fn files_that_cannot_be_are_named_at_start_with_what_is_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.sign("server", None, 1);
    let folder = authority.folder.path();
    let (junk, gone) = (folder.join("junk"), folder.join("gone"));
    fs::write(&junk, "junk").unwrap();
    let bad = folder.join("bad.pem");
    fs::write(
        &bad,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let list = folder.join("list.pem");
    fs::write(&list, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    let with = |change: fn(&mut Tls, std::path::PathBuf), path: &std::path::Path| {
        let mut tls = files(&good);
        tls.cafile = Some(authority.cafile());
        change(&mut tls, path.to_owned());
        tls
    };
    let stranger = other.sign("stranger", None, 3).key;
    let cases = [
        (
            with(|tls, path| tls.certfile = path, &gone),
            "the certificate",
            "No such file",
        ),
        (
            with(|tls, path| tls.certfile = path, &junk),
            "the certificate",
            "there is no certificate in PEM",
        ),
        (with(|tls, path| tls.certfile = path, &bad), "the certificate", ""),
        (
            with(|tls, path| tls.keyfile = path, &gone),
            "the key",
            "No such file",
        ),
        (
            with(|tls, path| tls.keyfile = path, &junk),
            "the key",
            "there is no key in PEM",
        ),
        (
            with(|tls, path| tls.keyfile = path, &stranger),
            "the key",
            "it does not belong to the certificate",
        ),
        (
            with(|tls, path| tls.cafile = Some(path), &junk),
            "the authority's certificate",
            "there is no",
        ),
        (
            with(|tls, path| tls.cafile = Some(path), &bad),
            "the authority's certificate",
            "",
        ),
        (
            with(|tls, path| tls.crlfile = Some(path), &junk),
            "the revocation list",
            "there is no",
        ),
        (
            with(|tls, path| tls.crlfile = Some(path), &list),
            "the revocation list",
            "",
        ),
    ];
    for (tls, what, why) in cases {
        let error = bind(&listener(Transport::Tcp, Some(tls)), true)
            .await
            .unwrap_err();
        let text = Causes(&error).to_string();
        assert!(
            text.starts_with(what) && text.contains(why),
            "{what}, {why}: {text}"
        );
        assert!(
            text.contains(folder.to_str().unwrap()) || text.contains("stranger"),
            "{text}"
        );
    }
}
