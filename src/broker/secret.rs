//! Passwords as they are kept: argon2id, mosquitto's two forms, and clear text from the configuration.

use argon2::password_hash::{PasswordHash, PasswordHashString, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use data_encoding::BASE64;
use sha2::{Digest as _, Sha512};
use std::fmt;
use std::io;
use subtle::ConstantTimeEq as _;

/// What a new argon2id hash costs: RFC 9106's kind, with the least memory of OWASP's equally strong settings (7 MiB, 5
/// rounds), for small machines check two log-ins at once.
const MEMORY_KIB: u32 = 7 * 1024;
const ROUNDS: u32 = 5;
const LANES: u32 = 1;

/// The most that a hash in a file may ask for: what it names is what every log-in costs.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_ROUNDS: u32 = 1000;
const MOST_LANES: u32 = 64;
const MOST_ITERATIONS: u32 = 10_000_000;

/// How often PBKDF2 goes round in a hash that we write for mosquitto. Its own `mosquitto_passwd` takes 101 by default;
/// OWASP wants 210,000 for HMAC-SHA-512. mosquitto checks in its one thread, so it is a compromise for both.
pub(crate) const ITERATIONS: u32 = 50_000;
/// Lengths that mosquitto insists on.
const SALT_LEN: usize = 12;
const HASH_LEN: usize = 64;

/// A password as it is kept. Never shown.
#[derive(Clone, PartialEq)]
pub(crate) enum Secret {
    /// In clear.
    Clear(String),
    /// `$argon2id$...`, a PHC string.
    Argon2id(PasswordHashString),
    /// `$7$iterations$salt$hash`: PBKDF2 with HMAC-SHA-512.
    Pbkdf2 {
        iterations: u32,
        salt: Vec<u8>,
        hash: [u8; HASH_LEN],
    },
    /// `$6$salt$hash`: SHA-512 over the password and the salt.
    Sha512 { salt: Vec<u8>, hash: [u8; HASH_LEN] },
}

/// Why a text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    #[error("the password is not hashed: `mqttyd passwd` or `mosquitto_passwd -U` does that")]
    Clear,
    #[error("the hash is of an unknown kind: known are \"$argon2id$\", \"$7$\" and \"$6$\"")]
    Kind,
    #[error("the hash is cut off: it needs {0}")]
    Short(&'static str),
    #[error("the hash's {0} is not Base64")]
    Base64(&'static str),
    #[error("the hash's salt is empty or longer than 64 bytes")]
    Salt,
    #[error("the hash is not 64 bytes long")]
    Length,
    #[error("the hash's iterations are not a number from 1 to {MOST_ITERATIONS}")]
    Iterations,
    #[error("the hash is not what argon2id gives: \"$argon2id$v=19$m=...,t=...,p=...$salt$hash\"")]
    Argon2,
    #[error(
        "the hash costs too much: at most m={MOST_MEMORY_KIB}, t={MOST_ROUNDS} and p={MOST_LANES} are taken"
    )]
    Costly,
}

impl Secret {
    /// A password in the configuration: what looks like a hash must be one, the rest is clear text.
    pub(crate) fn configured(text: &str) -> Result<Secret, HashError> {
        // A hash's form is `$kind$...$...`, whatever the kind: one that we don't know is no clear text either.
        let hashed = text.starts_with('$') && text.matches('$').count() >= 3;
        if hashed {
            Secret::hashed(text)
        } else {
            Ok(Secret::Clear(text.to_owned()))
        }
    }

    /// A hash in one of the three forms.
    pub(crate) fn hashed(text: &str) -> Result<Secret, HashError> {
        let Some((kind, rest)) = text.strip_prefix('$').and_then(|text| text.split_once('$')) else {
            return Err(if text.starts_with('$') {
                HashError::Kind
            } else {
                HashError::Clear
            });
        };
        match kind {
            "argon2id" => argon2id(text),
            "7" => {
                let (iterations, rest) = rest
                    .split_once('$')
                    .ok_or(HashError::Short("iterations, salt and hash"))?;
                let known = iterations
                    .parse()
                    .ok()
                    .filter(|n| (1..=MOST_ITERATIONS).contains(n));
                let iterations = known.ok_or(HashError::Iterations)?;
                let (salt, hash) = salt_and_hash(rest)?;
                Ok(Secret::Pbkdf2 {
                    iterations,
                    salt,
                    hash,
                })
            }
            "6" => {
                let (salt, hash) = salt_and_hash(rest)?;
                Ok(Secret::Sha512 { salt, hash })
            }
            _ => Err(HashError::Kind),
        }
    }

    /// Whether it is this password. Takes as long as the hash asks for: some tens of milliseconds.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Secret::Clear(clear) => same(&digest(clear.as_bytes(), b""), &digest(password, b"")),
            Secret::Argon2id(hash) => Argon2::default()
                .verify_password(password, &hash.password_hash())
                .is_ok(),
            Secret::Pbkdf2 {
                iterations,
                salt,
                hash,
            } => same(&pbkdf2(password, salt, *iterations), hash),
            Secret::Sha512 { salt, hash } => same(&digest(password, salt), hash),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A new argon2id hash, as a PHC string.
pub(crate) fn argon2id_hash(password: &[u8], salt: &[u8; 16]) -> io::Result<String> {
    let hash = || {
        let params = Params::new(MEMORY_KIB, ROUNDS, LANES, None)?;
        let salt = SaltString::encode_b64(salt)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(argon2.hash_password(password, &salt)?.to_string())
    };
    hash().map_err(|error: argon2::password_hash::Error| io::Error::other(error.to_string()))
}

/// A new hash in mosquitto's form.
pub(crate) fn pbkdf2_hash(password: &[u8], salt: &[u8; SALT_LEN], iterations: u32) -> String {
    let hash = pbkdf2(password, salt, iterations);
    format!("$7${iterations}${}${}", BASE64.encode(salt), BASE64.encode(&hash))
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

fn argon2id(text: &str) -> Result<Secret, HashError> {
    let hash = PasswordHash::new(text).map_err(|_| HashError::Argon2)?;
    let params = Params::try_from(&hash).map_err(|_| HashError::Argon2)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(HashError::Short("parameters, salt and hash"));
    }
    let dear =
        params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_ROUNDS || params.p_cost() > MOST_LANES;
    if dear {
        return Err(HashError::Costly);
    }
    Ok(Secret::Argon2id(hash.serialize()))
}

fn salt_and_hash(text: &str) -> Result<(Vec<u8>, [u8; HASH_LEN]), HashError> {
    let (salt, hash) = text
        .split_once('$')
        .ok_or(HashError::Short("a salt and a hash"))?;
    let decode = |text: &str, what| {
        BASE64
            .decode(text.as_bytes())
            .map_err(|_| HashError::Base64(what))
    };
    let salt = decode(salt, "salt")?;
    if salt.is_empty() || salt.len() > 64 {
        return Err(HashError::Salt);
    }
    let hash = decode(hash, "end")?.try_into().map_err(|_| HashError::Length)?;
    Ok((salt, hash))
}

fn digest(password: &[u8], salt: &[u8]) -> [u8; HASH_LEN] {
    Sha512::new()
        .chain_update(password)
        .chain_update(salt)
        .finalize()
        .into()
}

fn pbkdf2(password: &[u8], salt: &[u8], iterations: u32) -> [u8; HASH_LEN] {
    pbkdf2::pbkdf2_hmac_array::<Sha512, HASH_LEN>(password, salt, iterations)
}

fn same(a: &[u8; HASH_LEN], b: &[u8; HASH_LEN]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by mosquitto_passwd 2.0: the password is "geheim \u{fc}" for the first, "geheim" for the others.
    const SEVEN: &str = "$7$101$g6EWtV908/QmBynp$6lFv04M8/oUSztTQUixVkJsDTWsEdQrSxyjm4sr+jYAsghfkUR9Gh81VKuqgzTTMFHsw0LrsxO7kNDuBTUTwEw==";
    const MORE: &str = "$7$1000$Acx+V/uTFwIp4cMH$jdRFkREevIbJ51b0SypZshX8RAH227o4ea90YrGdav1I4WQr9HSCUY3ccoiGa3xj3CrenfC4QznZ43aNiFhbCg==";
    const SIX: &str = "$6$VClma1xtw2nGVpy6$5w4YojM0XwqlCbkCWziE2FjHlT6kO4L8ze/flo/3k3h49i4y9WlfdEgevrDRX6ePezwoS7XXDdy/2+XT3DQ9Jw==";
    /// Made by the reference implementation's command `argon2`, with little work: the password is "password".
    const ARGON: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn opens(hash: &str, password: &str) -> bool {
        Secret::hashed(hash).unwrap().verify(password.as_bytes())
    }

    #[test]
    fn each_kind_opens_with_its_password_alone() {
        for (hash, password) in [
            (SEVEN, "geheim \u{fc}"),
            (MORE, "geheim"),
            (SIX, "geheim"),
            (ARGON, "password"),
        ] {
            assert!(opens(hash, password), "{hash}");
            for wrong in ["", "Geheim", "geheim ", "passwor", "password1"] {
                assert!(!opens(hash, wrong), "{hash} {wrong}");
            }
        }
    }

    #[test]
    fn new_hashes_open() {
        let argon = argon2id_hash(b"a", &[7; 16]).unwrap();
        assert!(argon.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{argon}");
        assert!(opens(&argon, "a") && !opens(&argon, "b"));
        let seven = pbkdf2_hash("\u{fc}".as_bytes(), &[7; 12], 3);
        assert!(opens(&seven, "\u{fc}") && !opens(&seven, "u"));
        assert_ne!(seven, pbkdf2_hash("\u{fc}".as_bytes(), &[8; 12], 3));
    }

    #[test]
    fn what_is_no_hash_says_why() {
        let fault = |text: &str| Secret::hashed(text).unwrap_err();
        assert_eq!(fault("secret"), HashError::Clear);
        assert_eq!(fault("$6"), HashError::Kind);
        assert_eq!(fault("$5$salt$hash"), HashError::Kind);
        assert_eq!(
            fault("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA"),
            HashError::Kind
        );
        assert_eq!(fault("$6$"), HashError::Short("a salt and a hash"));
        assert_eq!(fault("$6$AAAA"), HashError::Short("a salt and a hash"));
        assert_eq!(fault("$6$A{AA$AAAA"), HashError::Base64("salt"));
        assert_eq!(fault("$6$AAAA$A{AA"), HashError::Base64("end"));
        assert_eq!(fault("$6$AAAA$AAAA"), HashError::Length);
        assert_eq!(fault("$6$$AAAA"), HashError::Salt);
        assert_eq!(fault(&SEVEN.replace("101", "0")), HashError::Iterations);
        assert_eq!(fault(&SEVEN.replace("101", "4000000000")), HashError::Iterations);
        assert_eq!(
            fault("$argon2id$v=19$m=256"),
            HashError::Short("parameters, salt and hash")
        );
        assert_eq!(
            fault("$argon2id$v=19$m=x,t=2,p=1$c29tZXNhbHQ$AAAA"),
            HashError::Argon2
        );
        assert_eq!(fault(&ARGON.replace("m=256", "m=9000000")), HashError::Costly);
    }

    #[test]
    fn clear_text_in_the_configuration_is_what_does_not_look_like_a_hash() {
        for clear in ["secret", "$", "$money$", "a$6$b$c"] {
            let secret = Secret::configured(clear).unwrap();
            assert!(matches!(secret, Secret::Clear(_)), "{clear}");
            assert!(secret.verify(clear.as_bytes()) && !secret.verify(b"other"));
            assert!(!format!("{secret:?}").contains(clear));
        }
        assert_eq!(Secret::configured("$2b$12$abc").unwrap_err(), HashError::Kind);
        assert!(matches!(Secret::configured(SIX), Ok(Secret::Sha512 { .. })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), odd in "\\$(argon2id|6|7)?[$a-zA-Z0-9=,+/]{0,60}") {
            for text in [text, odd] {
                let _ = Secret::configured(&text);
                let _ = Secret::hashed(&text);
            }
        }

        #[test]
        fn a_hash_opens_with_its_password_and_no_other(a in "\\PC{0,20}", b in "\\PC{0,20}", salt: [u8; 12]) {
            let secret = Secret::hashed(&pbkdf2_hash(a.as_bytes(), &salt, 2)).unwrap();
            prop_assert!(secret.verify(a.as_bytes()));
            prop_assert_eq!(secret.verify(b.as_bytes()), a == b);
        }
    }
}
