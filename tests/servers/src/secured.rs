//! Servers that prove who they are, and want to know who asks.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// What such a server has, in PEM but for the password.
pub struct Secured {
    /// The certificate of the authority that issued the server's.
    pub authority: String,
    /// The server's certificate, for 127.0.0.1.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The password of its user.
    pub password: String,
}

impl Secured {
    /// Makes an authority of its own, which issues one certificate.
    pub fn new(password: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Self { authority, certificate, key: key.serialize_pem(), password: password.to_owned() }
    }

    /// Writes the certificate and the key into a folder, and returns where.
    pub(crate) fn write(&self, folder: &Path) -> [String; 2] {
        [("certificate.pem", &self.certificate), ("key.pem", &self.key)].map(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        })
    }
}
