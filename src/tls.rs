//! TLS for the one port, with rustls.

use crate::config;
use crate::error::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What accepts TLS connections; `None` when no certificate is set.
///
/// # Errors
/// `BadRequest` naming the file that can't be used, never showing its content.
pub fn acceptor(settings: &config::Tls) -> Result<Option<TlsAcceptor>> {
    if settings.certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    let unusable = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        Error::bad_request(format!("can't use {}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| unusable(&settings.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| unusable(&settings.key, &error))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&settings.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
