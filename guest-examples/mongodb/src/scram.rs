//! Logging in with SCRAM-SHA-256 (RFC 5802, RFC 7677): the server learns that the client knows the password, and
//! the client that the server does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::url::Credentials;

type Hash = [u8; 32];

/// Fewer iterations make a password easy to guess from what goes over the wire.
const FEWEST_ITERATIONS: u32 = 4096;
/// More iterations than any server asks for; they take seconds.
const MOST_ITERATIONS: u32 = 1_000_000;
/// Longer messages than any server sends.
const LONGEST: usize = 4096;

/// What a password becomes with a server's salt. It takes a moment to compute and is the same for each connection.
#[derive(Clone)]
pub struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    password: Hash,
}

/// A login that waits for the server's first message.
pub struct First {
    bare: String,
    nonce: String,
}

/// A login that waits for the server's last message.
pub struct Last {
    signature: Hmac<Sha256>,
}

/// Why a login can't go on. Names nothing secret.
pub type Problem = &'static str;

impl First {
    /// Begins a login. `nonce` has to be unpredictable and without commas.
    pub fn new(user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { bare: format!("n={user},r={nonce}"), nonce }
    }

    /// The message to send.
    pub fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// Answers the server's first message. `known` is what an earlier login computed.
    pub fn answer(
        self,
        credentials: &Credentials,
        server: &[u8],
        known: &mut Option<Salted>,
    ) -> Result<(String, Last), Problem> {
        let server = std::str::from_utf8(server).map_err(|_| "the server's first message is not text")?;
        if server.len() > LONGEST {
            return Err("the server's first message is too long");
        }
        let mut fields = server.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let nonce = field("r=").ok_or("the server's first message has no nonce")?;
        let salt = field("s=").ok_or("the server's first message has no salt")?;
        let iterations = field("i=").ok_or("the server's first message has no iteration count")?;
        // A server that repeats another nonce replays another login.
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("the server's nonce does not continue the client's");
        }
        let salt = STANDARD.decode(salt).map_err(|_| "the server's salt is not base64")?;
        let iterations = iterations.parse().map_err(|_| "the server's iteration count is not a number")?;
        let salted = Salted::get(known, &credentials.password, salt, iterations)?;

        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server},{without_proof}", self.bare);
        let client_key = sign(&salted, b"Client Key");
        let signature = sign(&Sha256::digest(client_key).into(), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
        let mut expected = keyed(&sign(&salted, b"Server Key"));
        expected.update(signed.as_bytes());
        Ok((format!("{without_proof},p={}", STANDARD.encode(proof)), Last { signature: expected }))
    }
}

impl Last {
    /// Checks that the server knows the password as well.
    pub fn check(self, server: &[u8]) -> Result<(), Problem> {
        let unproven = "the server does not prove that it knows the password";
        let server = std::str::from_utf8(server).map_err(|_| unproven)?;
        let signature =
            server.split(',').next().and_then(|field| field.strip_prefix("v=")).ok_or(unproven)?;
        let signature = STANDARD.decode(signature).map_err(|_| unproven)?;
        // Compares in constant time.
        self.signature.verify_slice(&signature).map_err(|_| unproven)
    }
}

impl Salted {
    fn get(
        known: &mut Option<Self>,
        password: &SecretString,
        salt: Vec<u8>,
        iterations: u32,
    ) -> Result<Hash, Problem> {
        if let Some(known) =
            known.as_ref().filter(|known| known.salt == salt && known.iterations == iterations)
        {
            return Ok(known.password);
        }
        if iterations < FEWEST_ITERATIONS {
            return Err("the server asks for too few iterations: the password would not be safe");
        }
        if iterations > MOST_ITERATIONS {
            return Err("the server asks for more iterations than any server needs");
        }
        let prepared = stringprep::saslprep(password.expose_secret())
            .map_err(|_| "the password has characters that SASLprep forbids")?;
        let password = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(prepared.as_bytes(), &salt, iterations);
        *known = Some(Self { salt, iterations, password });
        Ok(password)
    }
}

fn keyed(key: &Hash) -> Hmac<Sha256> {
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    // A key that is padded to a block is the same key.
    Hmac::new(&block.into())
}

fn sign(key: &Hash, message: &[u8]) -> Hash {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn credentials(password: &str) -> Credentials {
        let password = SecretString::from(password.to_owned());
        Credentials { user: "user".to_owned(), password, source: "admin".to_owned() }
    }

    fn answer(server: &str) -> Result<(String, Last), Problem> {
        let first = First::new("user", NONCE.to_owned());
        first.answer(&credentials("pencil"), server.as_bytes(), &mut None)
    }

    #[test]
    fn the_example_of_rfc_7677_is_reproduced() {
        assert_eq!(First::new("user", NONCE.to_owned()).message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, last) = answer(SERVER_FIRST).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(message, expected);
        last.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for wrong in [
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
            "v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            "v=",
            "v=6rri",
            "",
            "e=other-error",
        ] {
            let (_, last) = answer(SERVER_FIRST).unwrap();
            assert!(last.check(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_first_message_that_could_weaken_the_login_is_refused() {
        for (server, problem) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", "few iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295", "more iterations"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999", "number"),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096", "base64"),
            ("r=rOprNGfwEbeRWgbNEkqOx", "salt"),
            ("", "nonce"),
        ] {
            let found = answer(server).err().unwrap();
            assert!(found.contains(problem), "{server}: {found}");
        }
    }

    #[test]
    fn a_user_with_commas_and_equal_signs_is_written_so_that_it_stays_one_field() {
        assert_eq!(First::new("a=b,c", "x".to_owned()).message(), "n,,n=a=3Db=2Cc,r=x");
    }

    #[test]
    fn the_salted_password_is_computed_once_for_each_salt() {
        let mut known = None;
        for _ in 0..2 {
            let first = First::new("user", NONCE.to_owned());
            first.answer(&credentials("pencil"), SERVER_FIRST.as_bytes(), &mut known).unwrap();
        }
        let other = SERVER_FIRST.replace("W22Z", "W22A");
        let first = First::new("user", NONCE.to_owned());
        let before = known.as_ref().unwrap().password;
        first.answer(&credentials("pencil"), other.as_bytes(), &mut known).unwrap();
        assert_ne!(known.unwrap().password, before);
    }
}
